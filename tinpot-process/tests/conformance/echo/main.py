import json
import os

with open(os.environ["TINPOT_INPUT"]) as file:
    value = json.load(file)["parameters"]["value"]
with open(os.environ["TINPOT_RESULT"], "w") as file:
    json.dump(value, file)
