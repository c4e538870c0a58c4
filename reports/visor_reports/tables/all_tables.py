"""Every table that a study allows, and for each of the others the reason why it is not there."""

from visor_reports.study import Board, Study
from visor_reports.table import Absent, Table
from visor_reports.tables.comparison import main_comparison
from visor_reports.tables.composition import composition
from visor_reports.tables.cost_breakdown import cost_breakdown
from visor_reports.tables.differences import paired_differences
from visor_reports.tables.matched import matched_cost
from visor_reports.tables.oracle_tables import sweep_tables
from visor_reports.tables.paper_tables import paper_tables
from visor_reports.tables.per_dataset import per_dataset_savings
from visor_reports.tables.realised_speed import speed_tables
from visor_reports.tables.scoring import AgainstDense
from visor_reports.tables.sensitivity import sensitivity
from visor_reports.tables.variants import fastvlm, multi_image, training_data_size

Listed = tuple[Board | None, Table | Absent]


def all_tables(study: Study) -> list[Listed]:
    """(board, table) in the order in which they are shown; the paper's own tables come last and have no board."""
    found: list[Listed] = []
    for board in study.boards:
        found += [(board, table) for table in board_tables(board)]
    found += [(None, table) for table in (*speed_tables(study), *paper_tables())]
    return found


def board_tables(board: Board) -> list[Table | Absent]:
    """The tables of one board."""
    tests = AgainstDense(board)
    return [
        main_comparison(board, tests),
        per_dataset_savings(board, tests),
        matched_cost(board),
        composition(board, tests),
        training_data_size(board, tests),
        fastvlm(board, tests),
        multi_image(board, tests),
        *sweep_tables(board),
        sensitivity(board, tests),
        cost_breakdown(board),
        paired_differences(board, tests),
    ]
