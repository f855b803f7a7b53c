"""The command `tinpot`, as `python -m tinpot`.

A wheel has the program next to the package. The worker's own copy of the package has none.
"""

import os
import sys


def find() -> "str | None":
    """Returns the path of the program that was installed with this package."""
    import sysconfig

    package = os.path.dirname(os.path.abspath(__file__))
    prefix = os.path.dirname(package)
    folders = [sysconfig.get_path("scripts")]
    # `pip install --user`, `--target` and `--prefix`.
    user_scheme = f"{os.name}_user"
    if user_scheme in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", user_scheme))
    folders.append(os.path.join(prefix, "bin"))
    # prefix/lib/python3.13/site-packages
    folders.append(os.path.join(prefix, "..", "..", "..", "bin"))
    for folder in folders:
        program = os.path.normpath(os.path.join(folder, "tinpot"))
        if os.path.isfile(program) and os.access(program, os.X_OK):
            return program
    return None


def main() -> None:
    """Runs the program in place of this process."""
    program = find()
    if program is None:
        sys.exit(
            "error: this copy of the package tinpot has no program with it: install the wheel,"
            " or call a program `tinpot` by its name"
        )
    # Actions run in the interpreter that was called, unless another one is named.
    os.environ.setdefault("TINPOT_PYTHON", sys.executable)
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
