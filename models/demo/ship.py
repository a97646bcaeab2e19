"""Turn a checkpoint into the files of this repository: python -m models.demo.ship FOLDER."""

import argparse
import json
from pathlib import Path

import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from models.demo import tokens
from models.demo.evaluate import WEIGHTS


def main() -> None:
    """Ship one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--folder", type=Path, default=WEIGHTS)
    asked = parser.parse_args()
    ship(asked.checkpoint, asked.folder)


def ship(checkpoint: Path, folder: Path) -> None:
    """Write the weights in bfloat16, half the size, with a configuration that loads fp32."""
    model = WhisperForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.bfloat16)
    tokenizer = tokens.build_tokenizer()
    if tokenizer.get_vocab() != WhisperTokenizer.from_pretrained(checkpoint).get_vocab():
        raise ValueError(f"{checkpoint} was trained with other words than the present lexicon")
    tokens.save(model, tokenizer, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = "float32"  # else a default load gives bfloat16, slow or absent on a CPU
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
