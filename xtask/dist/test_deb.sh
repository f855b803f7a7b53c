#!/bin/sh
# Installs, removes and purges a Debian package in a copy of this system, which is thrown away:
# an overlay in a mount namespace of its own. It needs root.
set -eu

package=$(realpath "$1")
if [ "${2-}" != inside ]; then
    exec unshare --mount --pid --fork --kill-child sh "$0" "$package" inside
fi

mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount --bind /dev /mnt/root/dev
mount -t proc proc /mnt/root/proc
cp "$package" /mnt/root/tinpot.deb
exec chroot /mnt/root sh -euxc '
    unset TINPOT_SERVER TINPOT_TOKEN TINPOT_TOKEN_FILE || true
    export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
    # A negated command does not end a shell with `set -e`.
    no() { if "$@"; then echo "must fail: $*" >&2; exit 1; fi; }
    no getent passwd tinpot
    dpkg --install /tinpot.deb
    getent passwd tinpot
    test "$(stat -c %U:%G:%a /etc/tinpot/worker.toml)" = root:tinpot:640
    test "$(stat -c %U /srv/tinpot/actions)" = tinpot
    test "$(command -v tinpot)" = /usr/bin/tinpot
    test "tinpot $(dpkg-query -W -f "\${Version}" tinpot)" = "$(tinpot --version)"
    tinpot coordinator --config /etc/tinpot/coordinator.toml --show-config >/dev/null
    tinpot worker --config /etc/tinpot/worker.toml --show-config >/dev/null
    systemd-analyze verify /usr/lib/systemd/system/tinpot-coordinator.service \
        /usr/lib/systemd/system/tinpot-worker.service
    bash -nc "source /usr/share/bash-completion/completions/tinpot"
    test -s /usr/share/man/man1/tinpot-run.1.gz
    # The settings that an admin changed survive an update and a removal.
    echo "# mine" >>/etc/tinpot/worker.toml
    dpkg --install /tinpot.deb
    grep -q "# mine" /etc/tinpot/worker.toml
    dpkg --remove tinpot
    no test -e /usr/bin/tinpot
    grep -q "# mine" /etc/tinpot/worker.toml
    mkdir -p /var/lib/tinpot
    dpkg --purge tinpot
    no test -e /etc/tinpot
    no test -e /var/lib/tinpot
    test -d /srv/tinpot/actions
    no getent passwd tinpot
' >/dev/null
