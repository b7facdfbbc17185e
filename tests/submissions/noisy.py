"""Right work in every manner people write it: none of it may lose a point, and none of it is worth a flag."""

from nbformat.v4 import new_code_cell, new_markdown_cell

from tests.classroom import solved
from tests.submissions.scene import MOST, RIGHT, case, full, place_of, repaired

HEAD = "def create_causal_mask(seq_len, device=None):"


def causal(body: str, before: str = "") -> str:
    """An answer to the first exercise that does something else before it returns the right mask."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{before}\n{HEAD}\n{lines}\n    return {RIGHT}"


def noisy(make):
    return case("right but noisy", MOST, flag=None)(make)


@noisy
def warns(scene):
    """A warning on stderr says nothing about the answer."""
    return full(create_causal_mask=causal('warnings.warn("careful")', "import warnings"))


@noisy
def writes_to_stderr(scene):
    """So does text on stderr."""
    return full(create_causal_mask=causal('print("debug", file=sys.stderr)', "import sys"))


@noisy
def logs(scene):
    """So does a log."""
    setup = "import logging\nlogging.basicConfig()"
    return full(create_causal_mask=causal('logging.getLogger("me").error("here")', setup))


@noisy
def progress_bar(scene):
    """A progress bar draws on stderr."""
    return full(create_causal_mask=causal("for _ in track(range(3)): pass", "from rich.progress import track"))


@noisy
def prints_much(scene):
    """Prints are part of debugging."""
    return full("for n in range(3000): print(n, 'a line')", create_causal_mask=causal('print("x" * 1000)'))


@noisy
def plots(scene):
    """Figures are shown on the way."""
    return full(create_causal_mask=causal("plt.imshow(torch.eye(3)); plt.show()", "import matplotlib.pyplot as plt"))


@noisy
def slow_but_fine(scene):
    """The answer takes its time, within the limit."""
    return full(create_causal_mask=causal("time.sleep(0.25)", "import time"), extra="import time\ntime.sleep(2)")


@noisy
def other_default_dtype(scene):
    """The notebook computes in double precision throughout."""
    return full("torch.set_default_dtype(torch.float64)")


@noisy
def no_gradients(scene):
    """Gradients are switched off for the whole notebook."""
    return full("torch.set_grad_enabled(False)\ntorch.manual_seed(1)\ntorch.set_num_threads(2)")


@noisy
def warnings_are_errors(scene):
    """Warnings are turned into errors, which ours must not raise."""
    return full('import warnings\nwarnings.simplefilter("error")')


@noisy
def lambdas(scene):
    """Answers are expressions with a name."""
    return full(
        create_causal_mask="create_causal_mask = lambda n, device=None: "
        "torch.arange(n, device=device)[None, None, None] <= torch.arange(n, device=device)[:, None]",
        combine_masks="from functools import reduce\ncombine_masks = lambda *m: reduce(torch.logical_and, m)",
    )


@noisy
def callable_object(scene):
    """An answer is an object that can be called."""
    return full(create_causal_mask=f"""
        class Causal:
            calls = 0
            def __call__(self, seq_len, device=None):
                self.calls += 1
                return {RIGHT}
        create_causal_mask = Causal()
    """)


@noisy
def decorated(scene):
    """An answer wears decorators, one of them written in an experiment's cell."""
    notebook = full(create_causal_mask=f"""
        import functools
        @torch.no_grad()
        @counted
        @functools.lru_cache(maxsize=None)
        {HEAD}
            return {RIGHT}
    """.replace("\n        ", "\n"))
    helper = "import functools\ncalls = []\ndef counted(f):\n    @functools.wraps(f)\n    def g(*a, **k):\n"
    helper += "        return f(*a, **k)\n    return g\n"
    place = place_of(notebook, "create-causal-mask")
    notebook.cells.insert(place, new_code_cell(helper, id="helper", metadata={"tags": ["experiment"]}))
    return notebook


@noisy
def numpy_and_loops(scene):
    """An answer is computed in numpy and plain loops."""
    return full(create_causal_mask="""
        import numpy as np
        def create_causal_mask(seq_len, device=None):
            table = np.zeros((1, 1, seq_len, seq_len), dtype=bool)
            for i in range(seq_len):
                for j in range(seq_len):
                    table[0, 0, i, j] = j <= i
            return torch.from_numpy(table).to(device)
    """)


@noisy
def magics_and_shell(scene):
    """Cells hold magics, shell commands and questions."""
    extra = "%matplotlib inline\n!echo hello\nx = 3\n%time x + 1\ntorch.ones?"
    return full(extra, create_causal_mask=f"%%time\n{HEAD}\n    return {RIGHT}")


@noisy
def names_of_other_scripts(scene):
    """Names and comments are in the author's own language."""
    return full(create_causal_mask=f"""
        # 因果マスク: каждый видит только прошлое ✓
        def маска(длина, device=None):
            seq_len = длина
            return {RIGHT}
        create_causal_mask = маска
    """)


@noisy
def asks_for_input(scene):
    """A question to the reader raises when nobody is there; the answer stands in another cell."""
    return full('name = input("your name? ")')


@noisy
def error_between_the_exercises(scene):
    """A cell of the learner's own raises."""
    return full("1 / 0")


@noisy
def answer_in_another_cell(scene):
    """The answer stands in a cell of its own, and the stub is left as it was."""
    from tests.classroom import released

    stub = next(cell.source for cell in released().cells if cell.id == "create-causal-mask")
    notebook = full(create_causal_mask=stub)
    place = place_of(notebook, "create-causal-mask")
    notebook.cells.insert(place + 1, new_code_cell(f"{HEAD}\n    return {RIGHT}", id="my-answer"))
    return notebook


@noisy
def shows_values_and_tables(scene):
    """Cells end in values, tables and HTML."""
    return full("from IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'))\nimport pandas as pd\n4")


@noisy
def answers_use_one_another(scene):
    """One answer calls another, and both are functions of the notebook."""
    return full(create_prefix_mask="""
        def create_prefix_mask(prefix_len, seq_len):
            mask = create_causal_mask(seq_len)
            mask[..., :prefix_len] = True
            return mask
    """)


@noisy
def much_memory(scene):
    """A gigabyte is used on the way and given back."""
    return full("big = torch.ones(2**28)\ndel big")


@noisy
def own_class_with_torch_module(scene):
    """A module class of the learner's own does the work."""
    return full(create_causal_mask=f"""
        class Mask(torch.nn.Module):
            def forward(self, seq_len, device=None):
                return {RIGHT}
        create_causal_mask = Mask()
    """)


# Large files: what is thrown away unread has no size.


def _with_output(data):
    """The solved notebook with an output of its first experiment in the file."""
    notebook = solved()
    cell = next(cell for cell in notebook.cells if "experiment" in cell.metadata.get("tags", []))
    cell.outputs = [{"output_type": "display_data", "data": data, "metadata": {}}]
    return notebook


@noisy
def colour_codes_in_the_file(scene):
    """The file holds 8 MB of coloured text, each colour with a bracket in it."""
    return _with_output({"text/plain": "\x1b[31m.\x1b[0m" * 600_000})


@noisy
def plot_of_many_parts_in_the_file(scene):
    """The file holds a plot in JSON, of more parts than a notebook may have."""
    return _with_output({"application/vnd.vegalite.v5+json": [{"x": [n], "y": [n]} for n in range(200_000)]})


@noisy
def animation_in_the_file(scene):
    """The file holds an animation of 40 MB."""
    return _with_output({"text/html": f"<video src='data:video/mp4;base64,{'A' * 40_000_000}'>"})


@noisy
def widgets_in_the_file(scene):
    """The file holds the state of all widgets."""
    notebook = solved()
    state = {f"model-{n}": {"model_name": "Slider", "state": {"value": [n]}} for n in range(200_000)}
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    return notebook


@noisy
def attached_picture(scene):
    """A picture was dropped into a text, and hangs on its cell."""
    notebook = solved()
    drawing = new_markdown_cell("My drawing: ![mask](attachment:mask.png)", id="mine")
    drawing["attachments"] = {"mask.png": {"image/png": "iVBORw0KGgo" * 30_000}}
    notebook.cells.append(drawing)
    return notebook


@repaired("what is too long for a page was shortened in the cell mine")
def pasted_picture(scene):
    """A picture was pasted into a text, and stands in it letter by letter."""
    notebook = solved()
    picture = f"My drawing: ![mask](data:image/png;base64,{'iVBORw0KGgo' * 30_000})\n\nThis is what it shows."
    notebook.cells.insert(1, new_markdown_cell(picture, id="mine"))
    return notebook
