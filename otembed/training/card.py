"""What the model card says of a run beyond what sentence-transformers writes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from otembed.config import TrainConfig

# Where the weights of the offline encoders come from, and under which licence.
OFFLINE_ORIGINS = {"offline:multilingual-e5-small": ("intfloat/multilingual-e5-small", "mit")}


def keep_examples_out(model: SentenceTransformer, config: TrainConfig) -> None:
    """Keep training sentences out of the card's widget and usage example; called before the trainer is made."""
    card = model.model_card_data
    card.generate_widget_examples = config.examples_in_card
    if not config.examples_in_card:
        card.widget = [{"text": ""}]  # where there is one, none is drawn from the training text


def describe_in_card(model: SentenceTransformer, config: TrainConfig) -> None:
    """Name the languages and, of an offline encoder, base model and licence; leave training sentences out unless ``examples_in_card`` lets them in."""
    card = model.model_card_data
    codes = sorted({code.split("_")[0] for pair in config.pairs for code in pair.split("-")})
    card.language = codes
    card.add_tags(["otembed", "bitext-mining"])
    origin = OFFLINE_ORIGINS.get(config.model.name)
    if origin is not None:
        card.base_model, card.license = origin
    if config.examples_in_card:
        return
    card.widget = []
    for dataset in card.train_datasets:
        dataset.pop("examples", None)
        dataset["examples_table"] = ""
