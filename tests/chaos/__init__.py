"""The promises, held to under faults: real parts, named scenarios, and a judge of what is left.

    make chaos SCENARIO=killed SEED=7        (or: python -m tests.chaos killed --seed 7)

``world`` runs the parts and ``stock`` fills them; ``course`` plays a scenario, ``reader`` looks on,
and ``oracle`` judges. What goes wrong is described in a file for each kind of fault.
"""
