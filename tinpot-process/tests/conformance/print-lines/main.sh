i=0
while [ $i -lt "$count" ]; do
    echo "${prefix-line} $i"
    i=$((i + 1))
done
[ -z "$scratch" ] || touch "$scratch/ended"
echo "$count" > "$TINPOT_RESULT"
