"""The files of a small run, and a page as tests read it."""

from html.parser import HTMLParser

import numpy as np

from cbda_jax.annotation.query_log import Queries, QueryLog
from cbda_jax.reporting import MetricWriter

NAMES = ("road", "car", "train")
PALETTE = np.array([[128, 64, 128], [0, 0, 142], [0, 80, 100]], np.uint8)
IDS = ("jena/a", "jena/b", "ulm/c")
VOID_TAGS = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Tags, links and text of a page; fails on tags that do not match."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.links, self.words = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href", "srcset") and v]
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID_TAGS:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def evaluation(miou, fraction, *, split="val", final=False):
    return {
        "split": split,
        "miou": miou,
        "min_iou": miou / 2,
        "worst5_iou": miou,
        "pixel_accuracy": 0.9,
        "iou": {"road": miou, "car": miou / 2, "train": None},
        "subsets": {},
        "labelled_fraction": fraction,
        "final": final,
    }


def queries(number):
    image = np.array([0, 2], np.int32)
    return Queries(
        round=number,
        step=10 * number,
        image_ids=IDS,
        image=image,
        row=np.array([3, 4], np.int32) * number,
        col=np.array([5, 7], np.int32) * number,
        score=np.array([0.5, 0.25], np.float32),
        predicted=np.array([0, 1], np.uint8),
        radius=1,
        about={"method": "cbda"},
    )


def run(workdir, *, final=True):
    """The files of a run of two rounds."""
    rng = np.random.default_rng(0)
    log = QueryLog(workdir / "queries")
    (workdir / "gallery").mkdir(parents=True)
    with MetricWriter(workdir, resume_step=-1) as writer:
        writer.write("pool", 0, class_pixels={"road": 1000, "car": 100, "train": 3})
        for number in (1, 2):
            for step in range(10 * number - 9, 10 * number + 1):
                writer.write("train", step, loss=1 / step, steps_per_second=3.0, data_wait_ms=0.5)
            writer.write("evaluation", 10 * number, **evaluation(0.3 * number, 0.01 * (number - 1)))
            log.append(queries(number))
            writer.write(
                "round",
                10 * number,
                round=number,
                requested=3,
                picked=2,
                pixels=18,
                void_pixels=1,
                fraction=0.01 * number,
                class_pixels={"road": 9, "car": 8, "train": 0},
                predicted_regions={"road": 1, "car": 1},
                images=2,
                leftover=1,
                seconds=0.25,
                answers=1800,
                answer_seconds=4500.0,
                measured_answers=900 * (number - 1),
            )
            np.savez_compressed(
                workdir / "gallery" / f"round_{number:02d}_jena_a.npz",
                image=rng.integers(0, 255, (16, 32, 3), np.uint8),
                score=rng.random((32, 64)).astype(np.float16),
                prediction=rng.integers(0, 3, (32, 64), np.uint8),
                label=rng.integers(0, 3, (32, 64), np.uint8),
                image_id="jena/a",
            )
        if final:
            writer.write("evaluation", 30, **evaluation(0.7, 0.02, final=True))
            writer.write("evaluation", 30, **evaluation(0.65, 0.02, split="test", final=True))
    return workdir
