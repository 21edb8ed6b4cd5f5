"""The C++ compiler that trainer.compile=true needs."""

import os
import shlex
import subprocess
import sys
import sysconfig

from scorewise.errors import UserError
from scorewise.heads.trained import Trained
from scorewise.objectives.objective import Objective


def compile_step(model: Trained, objective: Objective | None) -> None:
    """Make the model compute its fused CSM step with torch.compile from now on.

    Raises:
        UserError: there is no such step, or no compiler.
    """
    fused = None if objective is None else objective.fused(model)
    if fused is None:
        raise UserError(
            "trainer.compile=true compiles the fused step of composite score matching, and this run has none: use "
            "objective=csm head=conditional_score or objective=csm_annealed head=noisy_conditional_score, or "
            "trainer.compile=false."
        )
    require_compiler()
    fused.compile_csm()


def require_compiler() -> None:
    """Check that the compiler which torch.compile will call can build against this Python.

    Raises:
        UserError: it cannot.
    """
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    command = [*shlex.split(name), "-x", "c++", "-fsyntax-only", f"-I{sysconfig.get_paths()['include']}", "-"]
    try:
        subprocess.run(command, input=b"#include <Python.h>\n", check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = "was not found" if isinstance(error, OSError) else "cannot compile against this Python's headers"
        raise UserError(
            f"trainer.compile=true needs a C++ compiler, and {name} {why}: install one, name it in the environment "
            "variable CXX, or use trainer.compile=false."
        ) from error
