#!/usr/bin/env bash
# `tokmonctl daemon install` and what follows, under a real systemd user manager.
#
#     tests/services/systemd.sh [DIRECTORY OF THE PROGRAMS]        default: target/debug
#
# Runs in a mount namespace with a /run and a home of its own, so it needs root, Linux and a systemd that is not in
# use; nothing of the machine is changed. Ends with 1 at the first thing that is not as it should be, with 77 where no
# such manager can be had.
set -euo pipefail
programs=$(realpath "${1:-$(dirname "$0")/../../target/debug}")

if [ "${2:-}" != inside ]; then
    if ! [ -x /lib/systemd/systemd ] || ! unshare --mount --pid --fork true 2>/dev/null; then
        echo "needs systemd and the right to have namespaces" >&2
        exit 77
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    WORK="$work" unshare --mount --pid --fork --kill-child "$0" "$programs" inside
    exit 0
fi

mount -t proc proc /proc
mount -t tmpfs tmpfs /run
# A user manager asks whether the machine was started by systemd.
mkdir -p /run/systemd/system /run/user/0 "$WORK/home"
chmod 700 /run/user/0
export HOME="$WORK/home" XDG_RUNTIME_DIR=/run/user/0 PATH="$programs:$PATH"
unset TOKMON_HOME XDG_CONFIG_HOME XDG_STATE_HOME XDG_DATA_HOME DBUS_SESSION_BUS_ADDRESS

# Readiness comes as it does for any service of type notify: one message to a socket.
coproc READY { exec python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(os.environ["WORK"] + "/notify")
print("bound", flush=True)
while b"READY=1" not in s.recv(4096):
    pass
print("ready", flush=True)'; }
read -r -t 30 _ <&"${READY[0]}"
NOTIFY_SOCKET="$WORK/notify" /lib/systemd/systemd --user --log-target=console >"$WORK/manager.log" 2>&1 &
manager=$!
if ! read -r -t 60 _ <&"${READY[0]}"; then
    cat "$WORK/manager.log" >&2
    echo "systemd's user manager does not start here" >&2
    exit 77
fi

fail() {
    echo "systemd: $*" >&2
    systemctl --user status --no-pager tokmond.service tokmond.socket >&2 || true
    exit 1
}
state() { systemctl --user show "$1" --property "$2" --value; }
# The manager takes note of a process's end a moment after it.
is() {
    local tries=200 now
    while now=$(state "$1" "$2") && [ "$now" != "$3" ]; do
        [ $((tries -= 1)) -gt 0 ] || fail "$1 has $2=$now, not $3"
        sleep 0.05
    done
}

tokmonctl daemon install >/dev/null
is tokmond.service ActiveState active
is tokmond.socket ActiveState active
case "$(state tokmond.service StatusText)" in serving*) ;; *) fail "the service does not say that it serves" ;; esac
tokmonctl record --model claude-sonnet-4-5 --input 10 >/dev/null

kill -KILL "$(state tokmond.service MainPID)"
calls() { tokmonctl report daily --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["totals"]["requests"])'; }
[ "$(calls)" = 1 ] || fail "killed: the next client was not answered, or the record is lost"

tokmonctl daemon stop >/dev/null
is tokmond.service ActiveState inactive
is tokmond.socket ActiveState active
[ "$(calls)" = 1 ] || fail "stopped: the socket did not start the daemon for the next client"
is tokmond.service ActiveState active

before=$(state tokmond.service MainPID)
tokmonctl daemon restart >/dev/null
[ "$(state tokmond.service MainPID)" != "$before" ] || fail "restarted: it is the same process"
[ "$(tokmonctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')" = \
    "$(state tokmond.service MainPID)" ] || fail "restarted: the daemon that answers is not the service's"

tokmonctl daemon uninstall >/dev/null
is tokmond.service ActiveState inactive
is tokmond.socket ActiveState inactive
[ -z "$(find "$HOME/.config/systemd" -type f -o -type l)" ] || fail "uninstalled: something stayed behind"
[ -s "$HOME/.local/state/tokmon/ledger.redb" ] || fail "uninstalled: the ledger is gone"
kill "$manager"
echo "systemd: installed, killed, stopped, activated, restarted and uninstalled"
