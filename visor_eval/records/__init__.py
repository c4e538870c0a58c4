"""What a run leaves behind: records, journal, run folders, provenance. Standard library only."""

from visor_eval.records.cost_record import COMPONENTS, DECODER_COMPONENTS, Accounting, CostRecord, Flops
from visor_eval.records.folder import StoreError, journalled, sample_key
from visor_eval.records.journal import Journal, JournalError, JournalKey, read_journal
from visor_eval.records.provenance import Provenance, collect_provenance, utc_now, without_paths
from visor_eval.records.run_record import RunRecord, RunStatus
from visor_eval.records.sample_record import SampleRecord
from visor_eval.records.schema import JsonValue, Record, SchemaError
from visor_eval.records.store import Run, RunFolder, RunListing, list_runs
from visor_eval.records.sweep import ConfigurationResult, Sweep, SweepFolder, SweepSample

__all__ = [
    "COMPONENTS",
    "DECODER_COMPONENTS",
    "Accounting",
    "ConfigurationResult",
    "CostRecord",
    "Flops",
    "Journal",
    "JournalError",
    "JournalKey",
    "JsonValue",
    "Provenance",
    "Record",
    "Run",
    "RunFolder",
    "RunListing",
    "RunRecord",
    "RunStatus",
    "SampleRecord",
    "SchemaError",
    "StoreError",
    "Sweep",
    "SweepFolder",
    "SweepSample",
    "collect_provenance",
    "journalled",
    "list_runs",
    "read_journal",
    "sample_key",
    "utc_now",
    "without_paths",
]
