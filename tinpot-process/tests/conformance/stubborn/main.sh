trap '' TERM
touch "$dir/started"
while [ -d "$dir" ] && ! [ -e "$dir/release" ]; do sleep 0.01; done
touch "$dir/ended"
echo '"released"' > "$TINPOT_RESULT"
