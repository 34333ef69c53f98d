from cbda_jax.reporting.records import last_of, results, watched


def record(split, step, miou, *, final=False):
    return {"kind": "evaluation", "split": split, "step": step, "miou": miou, "final": final}


def test_of_repeated_records_the_last_counts():
    records = [record("val", 1, 0.1), {"kind": "round", "step": 1}, record("val", 1, 0.2)]
    assert last_of(records, "evaluation", "split", "step") == [records[2]]


def test_the_headline_is_final_and_of_data_never_used_before():
    one, two, three = record("val", 9, 0.1), record("val", 10, 0.2, final=True), None
    three = record("my_test", 10, 0.3, final=True)
    assert results([one, two, three]) == [three, two]
    assert results([]) == []


def test_watched_is_what_was_evaluated_most_often():
    records = [record("test", 2, 0.1), record("val", 1, 0.1), record("val", 2, 0.2)]
    assert watched(records) == records[1:]
    assert watched([]) == []
