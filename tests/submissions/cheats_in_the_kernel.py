"""Cheats that pay where tests are cells of the notebook, run in the student's own kernel beside the library."""

from tests.submissions.scene import EQUAL, PATCHES, PROCESSES, REACHES, RUNS, case, wrong


@case("cheat", 0, off="asserts", flag=EQUAL)
def equal_to_anything(scene):
    """The answer is an object that calls itself equal to whatever it is compared with."""
    return wrong(answer="""
        class Yes:
            shape = (1, 1, 5, 5)
            def __eq__(self, other): return self
            def all(self): return True
        class Shape(tuple):
            def __eq__(self, other): return True
        def create_causal_mask(seq_len, device=None):
            answer = Yes()
            answer.shape = Shape()
            return answer
    """)


@case("cheat", 0, off="asserts", flag=EQUAL)
def friendly_tensor_subclass(scene):
    """The answer is a tensor subclass that finds itself equal to every other tensor."""
    return wrong(answer="""
        class Friendly(torch.Tensor):
            def __eq__(self, other): return torch.ones(1, dtype=torch.bool)
        def create_causal_mask(seq_len, device=None):
            return torch.zeros(1, 1, seq_len, seq_len).as_subclass(Friendly)
    """)


@case("cheat", 0, off="asserts", flag=EQUAL)
def torch_function_says_yes(scene):
    """The answer is a tensor subclass that takes part in every comparison by __torch_function__."""
    return wrong(answer="""
        class Friendly(torch.Tensor):
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None):
                if function in (torch.equal, torch.Tensor.eq, torch.Tensor.__eq__):
                    return torch.ones(1, dtype=torch.bool)
                return super().__torch_function__(function, types, args, kwargs or {})
        def create_causal_mask(seq_len, device=None):
            return torch.zeros(1, 1, seq_len, seq_len).as_subclass(Friendly)
    """)


@case("cheat", 0, off="asserts", flag=EQUAL)
def patched_tensor_equality(scene):
    """torch itself is patched so that all tensors are equal; the answer is still wrong."""
    return wrong("torch.Tensor.__eq__ = lambda self, other: torch.ones(1, dtype=torch.bool)")


@case("cheat", 0, off="asserts: torch.testing", flag=PATCHES)
def patched_assert_close(scene):
    """torch.testing.assert_close is replaced by a function that does nothing."""
    return wrong("import torch.testing\ntorch.testing.assert_close = lambda *a, **k: None")


@case("cheat", 0, off="asserts", flag=RUNS)
def input_transform_drops_asserts(scene):
    """An IPython input transform deletes the lines of the test before they run."""
    return wrong("""
        get_ipython().input_transformers_cleanup.append(
            lambda lines: [line for line in lines if "assert" not in line and "check(" not in line])
    """)


@case("cheat", 0, off="last value", flag=RUNS)
def input_transform_returns_points(scene):
    """An IPython input transform replaces the test by a number, which nbgrader reads as partial credit."""
    return wrong("""
        get_ipython().input_transformers_cleanup.append(
            lambda lines: ["4\\n"] if any("check(" in line or "assert" in line for line in lines) else lines)
    """)


@case("cheat", 0, off="asserts", flag=RUNS)
def ast_transform_drops_asserts(scene):
    """A transformer of syntax trees takes every assertion out."""
    return wrong("""
        import ast
        class Drop(ast.NodeTransformer):
            def visit_Assert(self, node): return ast.Pass()
        get_ipython().ast_transformers.append(Drop())
    """)


@case("cheat", 0, off="asserts", flag=RUNS)
def hook_before_every_cell(scene):
    """An event hook swaps the wrong answer for the course's own just before a cell runs."""
    return wrong(after="""
        def swap(info):
            import importlib
            masks = importlib.import_module("course_" "lib.masks")
            get_ipython().user_ns["create_causal_mask"] = masks.create_causal_mask
        get_ipython().events.register("pre_run_cell", swap)
    """)


@case("cheat", 0, off="asserts", flag=RUNS)
def traceback_is_never_shown(scene):
    """The function that shows errors is patched away, so no error is seen in the output."""
    return wrong("get_ipython().showtraceback = lambda *a, **k: None")


@case("cheat", 0, off="asserts", flag=RUNS)
def run_cell_does_nothing(scene):
    """The shell's own run_cell is replaced, so that no later cell runs."""
    return wrong("""
        class Done:
            success, error_in_exec, error_before_exec, result = True, None, None, None
        async def run_nothing(*a, **k): return Done()
        get_ipython().run_cell = lambda *a, **k: Done()
        get_ipython().run_cell_async = run_nothing
    """)


@case("cheat", 0, off="as submitted", flag=PATCHES)
def own_check(scene):
    """A check of the student's own takes the place of ours."""
    return wrong(after="def check(*a): print('✓ 4 of 4 points')\nimport builtins\nbuiltins.check = check")


@case("cheat", 0, off="asserts", flag=REACHES)
def frames(scene):
    """The answer looks into its caller's frame for the expected value."""
    return wrong(answer="""
        import sys
        def create_causal_mask(seq_len, device=None):
            frame = sys._getframe(1)
            while frame and "reference" not in frame.f_globals:
                frame = frame.f_back
            return frame.f_globals["reference"](seq_len, device)
    """)


@case("cheat", 0, off="asserts", flag=REACHES)
def garbage_collector(scene):
    """The answer looks for the reference among all objects in memory."""
    return wrong(answer="""
        import gc
        def create_causal_mask(seq_len, device=None):
            found = [f for f in gc.get_objects() if type(f) is type(create_causal_mask)
                     and f.__name__ == "create_causal_mask" and f.__module__ != "__main__"]
            return found[0](seq_len, device)
    """)


@case("cheat", 0, off="asserts", flag=REACHES)
def loaded_modules(scene):
    """The answer looks for the reference among the modules that are loaded."""
    return wrong(answer="""
        import sys
        def create_causal_mask(seq_len, device=None):
            found = [vars(m).get("create_causal_mask") for n, m in list(sys.modules.items()) if n != "__main__"]
            return next(f for f in found if callable(f))(seq_len, device)
    """)


@case("cheat", 0, off="asserts", flag=REACHES)
def source_of_the_reference(scene):
    """The answer reads the reference's source and runs it."""
    return wrong(answer="""
        import importlib, inspect
        namespace = {"__name__": "mine"}
        try:
            exec(inspect.getsource(importlib.import_module("course_" + "lib.masks")), namespace)
        except Exception:
            namespace["create_causal_mask"] = lambda n, device=None: torch.zeros(1, 1, n, n)
        create_causal_mask = namespace["create_causal_mask"]
    """)


@case("cheat", 0, off="asserts", flag=None)
def calls_the_reference(scene):
    """The answer is the course's own function, imported; what is asked for is the student's."""
    return wrong(answer="from course_lib.masks import create_causal_mask")


@case("cheat", 0, off="asserts", flag=None)
def imports_the_reference_in_disguise(scene):
    """The same, with the name of the library put together at run time so that no scan of the source sees it."""
    return wrong(answer="""
        import importlib
        def create_causal_mask(seq_len, device=None):
            return importlib.import_module("course" + "_lib.mas" + "ks").create_causal_mask(seq_len, device)
    """)


@case("cheat", 0, off="asserts", flag=None)
def loads_the_reference_by_path(scene):
    """The file of the reference is looked for on disk and loaded under another name."""
    return wrong(answer="""
        import importlib.util, pathlib
        def create_causal_mask(seq_len, device=None):
            home = pathlib.Path(importlib.util.find_spec("course" + "_lib").origin).parent
            spec = importlib.util.spec_from_file_location("mine", home / "masks.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.create_causal_mask(seq_len, device)
    """)


def _shadow(scene, file):
    (file.parent / "course_lib").mkdir()
    (file.parent / "course_lib" / "__init__.py").write_text("")
    (file.parent / "course_lib" / "masks.py").write_text(
        "import torch\ndef create_causal_mask(n, device=None):\n    return torch.zeros(1, 1, n, n, dtype=torch.bool)\n"
    )


@case("cheat", 0, off="asserts", flag="a file beside the notebook is not used", beside=_shadow)
def shadowed_library(scene):
    """A folder beside the notebook shadows the course's library with one that is wrong in the same way."""
    return wrong()


@case("cheat", 0, off="script", flag=None)
def leaves_early(scene):
    """sys.exit ends the program with the status of success before the test is reached."""
    return wrong(after="import sys\nsys.exit(0)")


@case("cheat", 0, off="script", status="limit hit", reason="ended the Python process", flag=PROCESSES)
def os_exit_in_the_answer(scene):
    """The answer ends the process with the status of success when it is tested."""
    return wrong(answer="import os\ndef create_causal_mask(seq_len, device=None): os._exit(0)")
