import numpy as np

VIEW_DTYPE: np.dtype
