"""The plan of the house: who knows whom, what a room does not know, a test for each module."""

import ast
import tomllib

import pytest
import waiting

PACKAGE = waiting.ROOT / "cbda_jax"
TESTS = waiting.ROOT / "tests"
MODULES = {
    ".".join(path.relative_to(waiting.ROOT).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

KNOWN = {module.split(".")[1] for module in MODULES}
# A room is a folder of the package or a module beside them. It imports from rooms of lower floors.
FLOORS = (
    {"__init__", "console", "errors"},
    {"platform", "stores"},
    {"files", "plugins", "resize", "runtime", "sharding"},
    {"checkpoints", "label_space", "models"},
    {"acquisition", "annotation", "data", "evaluation", "export", "training"},
    {"methods", "reporting"},
    {"config"},
    {"run"},
    {"annotate", "api", "main", "sweep"},
)
# Fewer than the floors would admit.
ONLY = {"acquisition": {"errors", "label_space", "platform", "plugins", "resize"}}
# What a room does not import, itself or through the rooms that it does.
UNKNOWN = {
    "acquisition": {"flax", "grain", "ml_collections", "optax", "tensorflow_datasets"},
    "annotation": {"flax", "grain", "jax", "ml_collections", "optax", "tensorflow_datasets"},
    "checkpoints": {"ml_collections", "tensorflow_datasets"},
    "data": {"flax", "ml_collections", "optax"},
    "evaluation": {"ml_collections", "optax", "tensorflow_datasets"},
    "export": {"grain", "ml_collections", "optax", "tensorflow_datasets"},
    "models": {"grain", "ml_collections", "optax", "tensorflow_datasets"},
    "reporting": {"flax", "jax", "ml_collections", "optax", "tensorflow_datasets"},
    "runtime": {"flax", "ml_collections", "optax", "tensorflow_datasets"},
    "training": {"ml_collections", "tensorflow_datasets"},
}

# Modules whose tests lie elsewhere, and where. An entry whose reason is gone fails the test.
TESTED_ELSEWHERE = {
    "cbda_jax.acquisition.pallas": "acquisition/scoring/test_softmax_tpu.py",
    "cbda_jax.acquisition.pool.candidates": "acquisition/pool/test_pool.py",
    "cbda_jax.acquisition.pool.spread": "acquisition/pool/test_hosts.py",
    "cbda_jax.acquisition.scoring.impurity": "acquisition/scoring/test_maps.py",
    "cbda_jax.acquisition.scoring.planes": "acquisition/scoring/test_softmax.py",
    "cbda_jax.acquisition.selection.lists": "acquisition/selection/test_select.py",
    "cbda_jax.acquisition.selection.local_maxima": "acquisition/selection/test_select.py",
    "cbda_jax.acquisition.selection.tournament": "acquisition/selection/test_select.py",
    "cbda_jax.acquisition.selection.vector_memory": "acquisition/selection/test_select.py",
    "cbda_jax.annotate.__main__": "annotate/test_main.py",
    "cbda_jax.annotation.asking": "annotation/test_oracles.py",
    "cbda_jax.annotation.round_files": "annotation/test_answer_log.py",
    "cbda_jax.config.data_fields": "config/test_fields.py",
    "cbda_jax.config.training_fields": "config/test_fields.py",
    "cbda_jax.data.datasets.acdc": "data/datasets/test_published.py",
    "cbda_jax.data.datasets.base": "data/test_prepare.py",
    "cbda_jax.data.datasets.bdd100k": "data/datasets/test_published.py",
    "cbda_jax.data.datasets.camvid": "data/datasets/test_published.py",
    "cbda_jax.data.datasets.cityscapes_ids": "data/test_encoding.py",
    "cbda_jax.data.datasets.dark_zurich": "data/datasets/test_published.py",
    "cbda_jax.data.datasets.foggy_cityscapes": "data/datasets/test_published.py",
    "cbda_jax.data.datasets.idd": "data/datasets/test_published.py",
    "cbda_jax.data.datasets.kitti": "data/datasets/test_published.py",
    "cbda_jax.data.datasets.mapillary": "data/datasets/test_published.py",
    "cbda_jax.data.datasets.synthetic_city.builder": "data/datasets/test_synthetic_city_builder.py",
    "cbda_jax.data.datasets.synthetic_city.buildings": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.canvas": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.furniture": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.ground": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.layout": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.look": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.paint": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.people": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.scene": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.synthetic_city.vehicles": "data/datasets/test_synthetic_city.py",
    "cbda_jax.data.datasets.uavid": "data/datasets/test_published.py",
    "cbda_jax.data.turns": "data/test_mirror.py",
    "cbda_jax.export.program": "export/test_formats.py",
    "cbda_jax.models.adaptsegnet_weights": "models/test_layouts.py",
    "cbda_jax.models.deeplab": "models/test_parity.py",
    "cbda_jax.models.efficientnet": "models/test_parity.py",
    "cbda_jax.models.resnet_weights": "models/test_deeplab_weights.py",
    "cbda_jax.models.segformer_layouts": "models/test_layouts.py",
    "cbda_jax.models.torch_files": "models/test_weights.py",
    "cbda_jax.models.torch_names": "models/test_segformer_weights.py",
    "cbda_jax.reporting.gallery": "reporting/test_report.py",
    "cbda_jax.reporting.labelled": "reporting/test_label_plots.py",
    "cbda_jax.run.evaluator": "runtime/test_shards.py",
    "cbda_jax.run.experiment": "test_main.py",
    "cbda_jax.run.opening": "test_main.py",
    "cbda_jax.run.plan": "run/test_rounds.py",
    "cbda_jax.run.outcome": "test_main.py",
    "cbda_jax.run.trainer": "test_main.py",
}
# Checkpoints have limits of their own.
WITHOUT_LIMIT = ("checkpoints.wait",)
# Rooms whose functions people call. No more arguments than a call can be read with.
PUBLIC = (
    *("acquisition", "annotation", "api", "data", "evaluation", "export", "models", "runtime"),
    "training",
)
ARGUMENTS = 8
# An entry that is no longer needed fails the test.
MANY_ARGUMENTS = {
    "cbda_jax.acquisition.scoring.maps.score_maps": 9,
    "cbda_jax.models.efficientnet.InvertedBottleneck.__init__": 9,
    "cbda_jax.models.layers.conv": 9,
    "cbda_jax.training.step.make_train_step": 10,
}


def _imports(path):
    """Full names of what a file imports, also inside functions; not for type checkers alone."""
    left = [ast.parse(path.read_text())]
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            left += node.orelse
            continue
        left += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import found, expected the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(module):
    return module.split(".")[1]


def _plan():
    """Rooms and packages from outside that each room imports."""
    rooms, outside = {}, {}
    for module, path in MODULES.items():
        here = _room(module)
        for name in _imports(path):
            top, *rest = name.split(".")
            if top != "cbda_jax":
                outside.setdefault(here, set()).add(top)
                continue
            there = rest[0] if rest[0] in KNOWN else "__init__"
            if there != here:
                rooms.setdefault(here, set()).add(there)
    return rooms, outside


def test_every_room_has_a_floor():
    assert {_room(module) for module in MODULES} <= set().union(*FLOORS)
    assert sum(map(len, FLOORS)) == len(set().union(*FLOORS))


def test_rooms_import_downwards_only():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    rooms, _ = _plan()
    wrong = [
        f"{here} (floor {floor[here]}) imports {there} (floor {floor[there]})"
        for here, found in rooms.items()
        for there in sorted(found)
        if floor[there] >= floor[here]
    ]
    assert not wrong


@pytest.mark.parametrize("room", ONLY)
def test_a_room_that_knows_little(room):
    assert _plan()[0][room] <= ONLY[room]


@pytest.mark.parametrize("room", UNKNOWN)
def test_what_a_room_does_not_know(room):
    rooms, outside = _plan()
    reached, left = set(), [room]
    while left:
        one = left.pop()
        reached.add(one)
        # The console may ask JAX which process this is.
        left += rooms.get(one, set()) - reached - {"console"}
    found = {name: one for one in reached for name in outside.get(one, ())}
    assert {name: found[name] for name in UNKNOWN[room] & found.keys()} == {}


def test_configs_stop_at_the_runs():
    """No room below takes a config object apart."""
    known = {here for here, found in _plan()[1].items() if "ml_collections" in found}
    assert known <= {"api", "config", "main", "run", "sweep"}


def test_nobody_asks_for_the_default_backend():
    """A program may be compiled for a machine that is not there."""
    asking = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "default_backend"
    }
    assert asking == set()


def test_functions_take_few_arguments():
    many = {}
    for module, path in MODULES.items():
        if _room(module) not in PUBLIC:
            continue
        for scope in ast.walk(ast.parse(path.read_text())):
            for node in ast.iter_child_nodes(scope):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                given = node.args
                names = [x.arg for x in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                count = len([name for name in names if name not in ("self", "cls")])
                owner = getattr(scope, "name", "")
                public = not owner.startswith("_") and (
                    not node.name.startswith("_") or node.name == "__init__"
                )
                if public and count > ARGUMENTS and "synthetic_city" not in module:
                    many[".".join(filter(None, (module, owner, node.name)))] = count
    assert many == MANY_ARGUMENTS


def _mirror(module):
    *folders, name = module.split(".")[1:]
    return TESTS.joinpath(*folders, f"test_{name}.py")


def test_every_module_has_a_test_of_its_name():
    missing = {
        module
        for module, path in MODULES.items()
        if path.name != "__init__.py" and not _mirror(module).exists()
    }
    assert sorted(missing - TESTED_ELSEWHERE.keys()) == []
    assert sorted(TESTED_ELSEWHERE.keys() - missing) == []
    for module, where in TESTED_ELSEWHERE.items():
        assert (TESTS / where).exists(), f"{module}: no {where}"


def test_the_limit_of_a_test_is_that_of_its_waits():
    settings = tomllib.loads((waiting.ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["pytest"]["ini_options"]["timeout"] == 300
    assert waiting.PATIENCE_S < waiting.LIMIT_S


def test_nothing_is_waited_for_without_a_limit():
    """In tests and scripts: for a process, a thread, or another thread's answer."""
    files = [*sorted(TESTS.rglob("*.py")), *sorted((waiting.ROOT / "scripts").rglob("*.py"))]
    wrong = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called = ast.unparse(node.func)
            if node.func.attr in ("communicate", "join", "readline", "result", "wait"):
                endless = not node.args and not node.keywords
            elif called in ("subprocess.run", "subprocess.check_call", "subprocess.check_output"):
                endless = "timeout" not in {keyword.arg for keyword in node.keywords}
            else:
                endless = False
            if endless and called not in WITHOUT_LIMIT:
                wrong.append(f"{path.relative_to(waiting.ROOT)}:{node.lineno}: {called}")
    assert not wrong
