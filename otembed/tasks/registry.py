"""All tasks by name; to add a task, create its folder and add a line here; torch-free."""

from __future__ import annotations

from otembed.tasks.base import Task
from otembed.tasks.documents.task import DocumentsTask
from otembed.tasks.mining.task import MiningTask
from otembed.tasks.retrieval.task import RetrievalTask
from otembed.tasks.tagging.task import TaggingTask
from otembed.tasks.word_alignment.task import AlignmentTask
from otembed.tasks.xnli.task import XnliTask
from otembed.tasks.xquad.task import XquadTask

TASKS: dict[str, Task] = {
    each.name: each
    for each in (
        RetrievalTask(),
        MiningTask(),
        AlignmentTask(),
        DocumentsTask(),
        XnliTask(),
        XquadTask(),
        TaggingTask(),
    )
}
