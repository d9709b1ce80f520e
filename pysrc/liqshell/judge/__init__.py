"""The outside judge: what a policy asks before it enters, and what may answer it.

A policy states what each grade of the news would give. The judge grades evidence; the decision matrix stays in the policy's code, and the weaker of
both counts.
"""
