"""Interactive pages of the course: functions that compute, under a thin layer of ipywidgets."""

from course_lib.playground.alignment_explorer import alignment_explorer
from course_lib.playground.attention_explorer import attention_explorer
from course_lib.playground.fill_explorer import fill_explorer
from course_lib.playground.mask_explorer import mask_explorer
from course_lib.playground.predict import predict, predicted
from course_lib.playground.write_explorer import write_explorer

__all__ = [
    "alignment_explorer",
    "attention_explorer",
    "fill_explorer",
    "mask_explorer",
    "predict",
    "predicted",
    "write_explorer",
]
