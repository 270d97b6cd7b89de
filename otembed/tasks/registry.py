"""Every task by its name: a new task is a folder and a line here; torch-free."""

from __future__ import annotations

from otembed.tasks.base import Task
from otembed.tasks.mining.task import MiningTask
from otembed.tasks.retrieval.task import RetrievalTask
from otembed.tasks.word_alignment.task import AlignmentTask
from otembed.tasks.xnli.task import XnliTask
from otembed.tasks.xquad.task import XquadTask

TASKS: dict[str, Task] = {
    each.name: each for each in (RetrievalTask(), MiningTask(), AlignmentTask(), XnliTask(), XquadTask())
}
