"""Build the example against the installed liqcore: python setup.py build_ext --inplace"""

from Cython.Build import cythonize
from setuptools import Extension, setup

import liqcore

setup(
    name="fast_bot",
    ext_modules=cythonize(
        [Extension("fast_bot", ["fast_bot.pyx"], include_dirs=[liqcore.get_include() + "/liqcore"], extra_compile_args=["-O3", "-ffp-contract=off"])],
        include_path=[liqcore.get_include()],
    ),
)
