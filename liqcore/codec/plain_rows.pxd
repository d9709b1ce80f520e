"""Rows of delimited text to columns of numbers, words and texts, without the interpreter.

It reads what exchanges write: ASCII without quotes, whole numbers of at most 16 digits, decimal numbers of at most 53 bits, no empty cell in the
columns that are read. Anything else is for a general reader, which takes several times as long.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

cdef extern from "codec/scan_text.h" nogil:
    ctypedef struct scan_name_t:
        pass

cdef enum:
    WORDS_MAX = 512       # different ones in a column
    SLOTS = 1024          # of the hash table of these

ctypedef struct column_t:
    char kind
    void* values          # of each row: its number, the index of its word, or where its text begins
    char* text            # room for the texts, one after the other
    int32_t filled, words
    int32_t slots[SLOTS]  # index of a word + 1; 0: free
    scan_name_t names[WORDS_MAX]
    int64_t begins[WORDS_MAX]
    uint32_t sizes[WORDS_MAX]

cdef class _Column:
    cdef column_t c
    cdef object array, texts
