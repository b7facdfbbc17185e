"""How nbgrader works in this course: solutions/ -> notebooks/, and one sandboxed road to every grade."""

from pathlib import Path

from nbgrader.apps import NbGraderAPI

from course_lib.selfcheck import CELL_SECONDS, TOO_LONG, fail_if_too_long

c = get_config()  # noqa: F821 (traitlets gives it to configuration files)

root = Path(__file__).resolve().parent
c.CourseDirectory.root = str(root)
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.submitted_directory = "grading/submitted"
c.CourseDirectory.autograded_directory = "grading/autograded"
c.CourseDirectory.feedback_directory = "grading/feedback"
(root / "grading").mkdir(exist_ok=True)
c.CourseDirectory.db_url = f"sqlite:///{root}/grading/gradebook.db"

c.ClearSolutions.code_stub = {
    "python": 'raise NotImplementedError("Write the body of this function in place of this line.")'
}

# Validate, in a learner's JupyterLab: experiments may train, and what had to be stopped is no success.
c.Execute.timeout = CELL_SECONDS
c.Execute.iopub_timeout = 60
c.Execute.error_on_timeout = TOO_LONG
c.Execute.on_cell_error = fail_if_too_long

# Student code runs in the sandbox and is judged outside: our classes stand where nbgrader's own would execute and save.
c.Autograde.pre_convert_hook = "course_lib.grading.nbgrader_glue.choose_notebook"
c.Autograde.exporter_class = "course_lib.grading.nbgrader_glue.RepairingExporter"
c.Autograde.autograde_preprocessors = [
    "course_lib.grading.nbgrader_glue.SandboxExecute",
    "nbgrader.preprocessors.LimitOutput",
    "course_lib.grading.nbgrader_glue.SaveVerdicts",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Students do not read the flags.
c.GenerateFeedback.preprocessors = [
    "course_lib.grading.nbgrader_glue.ForStudents",
    "nbgrader.preprocessors.GetGrades",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]

# Feedback and formgrader show what students wrote in markdown.
c.HTMLExporter.filters = {
    "markdown2html": "course_lib.grading.nbgrader_glue.safe_markdown",
    "clean_html": "course_lib.grading.nbgrader_glue.safe_html",
}


def time_of_hand_in(api, assignment, student):
    """Read what a student put into timestamp.txt, which need be neither a time nor a plain file."""
    from course_lib.grading.nbgrader_glue import CarefulDirectory

    folder = api.coursedir.format_path(api.coursedir.submitted_directory, student, assignment)
    return CarefulDirectory().get_existing_timestamp(folder)


# formgrader lists a class with this method: one file without a time in it would end the list, a pipe the whole server.
NbGraderAPI.get_submitted_timestamp = time_of_hand_in
