"""The outside judge: questions of policies before an entry, and the kinds of judges.

A policy states what each grade of the news would give. The judge grades evidence; the decision matrix stays in the policy's code, and the weaker of
both counts.
"""
