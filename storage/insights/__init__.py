"""What many sessions tell together: search and statistics, in a file of its own that follows the journal.

`Insights` gathers, `InsightsReader` answers.
"""

from .buckets import BUCKETS, COUNTS
from .errors import InsightsMissing, InvalidQuestion
from .filters import Filters
from .follower import Insights, Progress, gathered_by, insights_path
from .past import SORTS, Page
from .reader import InsightsReader, events_to_gather
from .search import Hit, Hits
from .stats import Statistics

__all__ = [
    "BUCKETS",
    "COUNTS",
    "SORTS",
    "Filters",
    "Hit",
    "Hits",
    "Insights",
    "InsightsMissing",
    "InsightsReader",
    "InvalidQuestion",
    "Page",
    "Progress",
    "Statistics",
    "events_to_gather",
    "gathered_by",
    "insights_path",
]
