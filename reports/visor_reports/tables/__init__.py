"""The report's tables, one function each, named as the paper names them."""

from visor_reports.tables.all_tables import all_tables
from visor_reports.tables.comparison import main_comparison
from visor_reports.tables.composition import composition
from visor_reports.tables.cost_breakdown import cost_breakdown
from visor_reports.tables.differences import paired_differences
from visor_reports.tables.matched import matched_cost
from visor_reports.tables.paper_tables import paper_tables
from visor_reports.tables.per_dataset import per_dataset_savings
from visor_reports.tables.scoring import AgainstDense
from visor_reports.tables.sensitivity import sensitivity
from visor_reports.tables.variants import fastvlm, multi_image, training_data_size

__all__ = [
    "AgainstDense",
    "all_tables",
    "composition",
    "cost_breakdown",
    "fastvlm",
    "main_comparison",
    "matched_cost",
    "multi_image",
    "paired_differences",
    "paper_tables",
    "per_dataset_savings",
    "sensitivity",
    "training_data_size",
]
