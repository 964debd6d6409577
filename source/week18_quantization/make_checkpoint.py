"""Makes checkpoint/: a small Llama that continues English prose byte by byte. What students quantise.

    .venv/bin/python source/week18_quantization/make_checkpoint.py

It trains on the training part of `gradekit.data.prose` for about two minutes of one core. The figures that the
notebook states were measured with the file that is committed; another Python brings another text, and a new file other
figures. From one text, one version of torch and one kind of processor the file comes out the same, byte for byte.
"""

import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.models.llama.modeling_llama import LlamaConfig, LlamaForCausalLM

from gradekit.data import prose

FOLDER = Path(__file__).parent / "checkpoint"
STEPS, BATCH, CONTEXT, LR = 2400, 12, 128, 4e-3

CONFIG = LlamaConfig(
    vocab_size=256,  # a token is a byte
    hidden_size=96,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=256,
    tie_word_embeddings=True,
    bos_token_id=None,
    eos_token_id=None,
    use_cache=False,
)


def windows(data: torch.Tensor, count: int, length: int, rng: torch.Generator) -> torch.Tensor:
    """(count, length) bytes from random places."""
    starts = torch.randint(0, len(data) - length, (count, 1), generator=rng)
    return data[starts + torch.arange(length)]


def bits_per_byte(model: LlamaForCausalLM, data: torch.Tensor) -> float:
    """Of every byte but the first of each window of CONTEXT."""
    whole = data[: len(data) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    model.eval()
    with torch.no_grad():
        losses = [model(part, labels=part).loss.item() * len(part) for part in whole.split(64)]
    return sum(losses) / len(whole) / math.log(2)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(18)
    rng = torch.Generator().manual_seed(18)
    corpus = prose(full=False)
    train, validation = (torch.tensor(list(corpus.text(part).encode())) for part in (corpus.train, corpus.validation))
    model = LlamaForCausalLM(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS, pct_start=0.05)
    for step in range(STEPS):
        model.train()
        batch = windows(train, BATCH, CONTEXT, rng)
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 199:
            print(f"{step + 1:5d}  {loss.item() / math.log(2):.3f}  {bits_per_byte(model, validation):.3f}", flush=True)
    FOLDER.mkdir(exist_ok=True)
    state = {name: value.half().contiguous() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    save_file(state, FOLDER / "model.safetensors")
    CONFIG.save_pretrained(FOLDER)


if __name__ == "__main__":
    main()
