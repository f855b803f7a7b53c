"""The command `tinpot`, as `python -m tinpot`.

A wheel has the program next to the package. The worker's own copy of the package has none.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def find() -> "str | None":
    """Returns the path of the program that was installed with this package."""
    prefix = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # prefix/lib/python3.13/site-packages, also of `pip install --user` and `--prefix`; then that of
    # `--target`. They need no import.
    program = _in([os.path.join(prefix, "..", "..", "..", "bin"), os.path.join(prefix, "bin")])
    if program is not None:
        return program
    import sysconfig

    folders = [sysconfig.get_path("scripts")]
    user_scheme = f"{os.name}_user"
    if user_scheme in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", user_scheme))
    return _in(folders)


def _in(folders: "Iterable[str]") -> "str | None":
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
