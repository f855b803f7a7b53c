"""Actions of the worker `ml`, whose environment alone has `torch` and `transformers`."""

import time

from tinpot import action


@action(group="MachineLearning", queue="ml", description="Run ML inference")
def run_inference(model: str = "bert-base", text: str = "hello", seconds: float = 0):
    import torch
    from transformers import AutoModel

    print(f"Loading model {model} for {torch.device()}", flush=True)
    time.sleep(seconds)
    return AutoModel.from_pretrained(model)(text)
