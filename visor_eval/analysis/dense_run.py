"""The run of the unmodified model that stands beside a sweep: the same data, and every sample of the sweep answered."""

from pathlib import Path

from visor_eval.records import Run, RunFolder, RunRecord, RunStatus, StoreError, Sweep

_SAME = ("newline", "unpad", "dtype", "shuffle_images")  # settings in which a run that nobody named must agree


def read_dense_run(folder: Path) -> Run:
    """A finished run of ``dense``.

    Raises:
        StoreError: there is none in ``folder``, or it is damaged.
    """
    run = RunFolder(folder).load()
    if (run.run.model, run.run.status) != ("dense", RunStatus.FINISHED):
        raise StoreError(f"{folder.name}: a run of {run.run.model} ({run.run.status}), not a finished one of dense")
    return run


def find_dense_run(root: Path, sweep: Sweep) -> Run | None:
    """The newest dense run below ``root`` that fits the sweep in data and settings; damaged runs are passed over."""
    found: list[tuple[str, Path]] = []
    for path in root.iterdir():
        try:
            record = RunFolder(path).read_run()
        except StoreError:
            continue
        if record.model == "dense" and _same_settings(record, sweep.run) and record.same_data(sweep.run):
            found.append((record.started_utc, path))
    for _, path in sorted(found, reverse=True):
        try:
            run = read_dense_run(path)
        except StoreError:
            continue
        if misfit(run, sweep) is None:
            return run
    return None


def misfit(dense: Run, sweep: Sweep) -> str | None:
    """Why a dense run cannot stand beside a sweep; None: it can."""
    if not dense.run.same_data(sweep.run):
        return f"{dense.run.run_id} ran over other data ({dense.run.suite} suite, hash {dense.run.suite_hash[:12]})"
    answered = {(sample.task, sample.doc_id): sample.cost for sample in dense.samples}
    lacking = sum((sample.task, sample.doc_id) not in answered for sample in sweep.samples)
    if lacking:
        return f"{dense.run.run_id} lacks {lacking} of the sweep's {len(sweep.samples)} samples"
    for sample in sweep.samples:
        cost, same = answered[sample.task, sample.doc_id], sample.dense_encode_flops + sample.dense_prefill_flops
        if cost is not None and cost.dense_prefill.total() != same:
            return f"{dense.run.run_id} ran on another backbone: a dense prefill costs other FLOPs there"
    return None


def _same_settings(record: RunRecord, sweep: RunRecord) -> bool:
    return all((record.config.get(key) or None) == (sweep.config.get(key) or None) for key in _SAME)
