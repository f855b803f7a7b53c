#!/bin/sh
# Creates the environments of the workers: sh setup.sh [DIRECTORY], by default .venv next to this file.
#
# The packages are copied from packages/. With real dependencies the last line of the loop becomes
#   "$to/$worker/bin/pip" install -r "$here/requirements-$worker.txt"
# and --without-pip goes away.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
to=${1:-$here/.venv}
for worker in general devops ml; do
    python3 -m venv --clear --without-pip "$to/$worker"
    sites=$("$to/$worker/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    if [ -d "$here/packages/$worker" ]; then cp -R "$here/packages/$worker/." "$sites"; fi
done
