"""From what is typed to parts that fit each other: choices, identity, refusals."""
