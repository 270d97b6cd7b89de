"""What the model card says of a run beyond what sentence-transformers writes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from otembed.config import TrainConfig


def describe_in_card(model: SentenceTransformer, config: TrainConfig) -> None:
    """Name the languages, and leave training sentences out unless ``examples_in_card`` lets them in."""
    card = model.model_card_data
    codes = sorted({code.split("_")[0] for pair in config.pairs for code in pair.split("-")})
    card.language = codes
    card.add_tags(["otembed", "bitext-mining"])
    if config.examples_in_card:
        return
    card.widget = []
    card.usage_examples = None
    for dataset in card.train_datasets:
        dataset.pop("examples", None)
        dataset["examples_table"] = ""
