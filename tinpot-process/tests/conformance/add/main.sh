echo $((a + ${b:-2})) > "$TINPOT_RESULT"
