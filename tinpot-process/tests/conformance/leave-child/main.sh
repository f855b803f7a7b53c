# In a session of its own, and an orphan: it is in no process group of the worker's.
(setsid sh -c '
touch "$dir/child_started"
while [ -d "$dir" ] && ! [ -e "$dir/release" ]; do sleep 0.01; done
[ -d "$dir" ] && touch "$dir/child_ended"
' &)
while ! [ -e "$dir/child_started" ]; do sleep 0.005; done
trap '' TERM
touch "$dir/started"
if [ "$wait" = true ]; then
    while [ -d "$dir" ] && ! [ -e "$dir/release" ]; do sleep 0.01; done
    touch "$dir/ended"
fi
