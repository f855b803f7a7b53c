echo "$message" >&2
exit 1
