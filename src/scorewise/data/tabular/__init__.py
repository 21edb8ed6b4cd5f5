"""Tables of a user: files, columns, cells and rows."""
