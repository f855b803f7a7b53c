trap 'touch "$dir/cleaned"; exit 0' TERM
touch "$dir/started"
while :; do sleep 0.01; done
