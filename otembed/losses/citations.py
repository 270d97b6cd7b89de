"""BibTeX entries of the methods that a configuration uses, for the model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otembed.config.loss import AlignmentConfig, ContrastiveConfig

ALIGNMENT = """
@inproceedings{alqahtani-2021-optimal-transport,
    title = "Using Optimal Transport as Alignment Objective for fine-tuning Multilingual Contextualized Embeddings",
    author = "Alqahtani, Sawsan and Lalwani, Garima and Zhang, Yi and Romeo, Salvatore and Mansour, Saab",
    booktitle = "Findings of the Association for Computational Linguistics: EMNLP 2021",
    year = "2021",
    publisher = "Association for Computational Linguistics",
    url = "https://arxiv.org/abs/2110.02887",
}
"""
SINKHORN = """
@inproceedings{cuturi-2013-sinkhorn,
    title = "Sinkhorn Distances: Lightspeed Computation of Optimal Transport",
    author = "Cuturi, Marco",
    booktitle = "Advances in Neural Information Processing Systems 26",
    year = "2013",
    url = "https://arxiv.org/abs/1306.0895",
}
"""
UNBALANCED = """
@article{chizat-2018-unbalanced,
    title = "Scaling algorithms for unbalanced optimal transport problems",
    author = "Chizat, Lenaic and Peyr{\\'e}, Gabriel and Schmitzer, Bernhard and Vialard, Fran{\\c{c}}ois-Xavier",
    journal = "Mathematics of Computation",
    volume = "87",
    year = "2018",
    url = "https://arxiv.org/abs/1607.05816",
}
"""
EXACT = """
@article{flamary-2021-pot,
    title = "{POT}: {P}ython Optimal Transport",
    author = "Flamary, R{\\'e}mi and Courty, Nicolas and Gramfort, Alexandre and others",
    journal = "Journal of Machine Learning Research",
    volume = "22",
    number = "78",
    year = "2021",
    url = "https://jmlr.org/papers/v22/20-451.html",
}
"""
UNBALANCED_ALIGNMENT = """
@inproceedings{arase-2023-unbalanced,
    title = "Unbalanced Optimal Transport for Unbalanced Word Alignment",
    author = "Arase, Yuki and Bao, Han and Yokoi, Sho",
    booktitle = "Proceedings of the 61st Annual Meeting of the Association for Computational Linguistics (Volume 1: Long Papers)",
    year = "2023",
    publisher = "Association for Computational Linguistics",
    url = "https://arxiv.org/abs/2306.04116",
}
"""
DIVERGENCE = """
@inproceedings{feydy-2019-interpolating,
    title = "Interpolating between Optimal Transport and {MMD} using {S}inkhorn Divergences",
    author = "Feydy, Jean and S{\\'e}journ{\\'e}, Thibault and Vialard, Fran{\\c{c}}ois-Xavier and Amari, Shun-ichi and Trouv{\\'e}, Alain and Peyr{\\'e}, Gabriel",
    booktitle = "The 22nd International Conference on Artificial Intelligence and Statistics",
    year = "2019",
    url = "https://arxiv.org/abs/1810.08278",
}
"""
SELF_LABELED = """
@inproceedings{chi-2021-self-labeled,
    title = "Improving Pretrained Cross-Lingual Language Models via Self-Labeled Word Alignment",
    author = "Chi, Zewen and Dong, Li and Zheng, Bo and Huang, Shaohan and Mao, Xian-Ling and Huang, Heyan and Wei, Furu",
    booktitle = "Proceedings of the 59th Annual Meeting of the Association for Computational Linguistics and the 11th International Joint Conference on Natural Language Processing",
    year = "2021",
    publisher = "Association for Computational Linguistics",
    url = "https://arxiv.org/abs/2106.06381",
}
"""


def citations_of(config: AlignmentConfig | ContrastiveConfig) -> str:
    """Return the entries for the method and for the solver variants that ``config`` uses."""
    entries = [ALIGNMENT, SINKHORN if config.epsilon else EXACT]
    if config.relaxation is not None:
        entries += [UNBALANCED, UNBALANCED_ALIGNMENT]
    if getattr(config, "debiased", False):
        entries.append(DIVERGENCE)
    if getattr(config, "objective", None) == "ranking":
        entries.append(SELF_LABELED)
    return "".join(entries)
