"""Interactive pages of the course: functions that compute, under a thin layer of ipywidgets."""

from course_lib.playground.attention_explorer import attention_explorer
from course_lib.playground.mask_explorer import mask_explorer
from course_lib.playground.predict import predict, predicted

__all__ = ["attention_explorer", "mask_explorer", "predict", "predicted"]
