from psp_hw.pruning.callback import PruningCallback as PruningCallback
from psp_hw.pruning.compact import compact as compact
from psp_hw.pruning.library import advance as advance
from psp_hw.pruning.library import density as density
from psp_hw.pruning.library import parameter_groups as parameter_groups
from psp_hw.pruning.library import penalty as penalty
from psp_hw.pruning.library import prune as prune
from psp_hw.pruning.library import remove as remove

__version__: str
