"""Seeds of the fault simulation that make one rare state likely: each named state is reached in a bounded number of them, and no law breaks there."""

import pytest
from faults import script, states
from faults.bot import LOW_LOSS, bot_of
from faults.market import contracts
from faults.world import run

FIRST = script.SECOND_FROM + 300_000
SEEDS_MAX, HOURS = 24, 1.0
DEFERRED = "no budget"
REACHED = [(profile, "") for profile in script.PROFILES if profile != DEFERRED] + [(DEFERRED, preset) for preset in script.PRESETS]


def directed(seed: int, profile: str, preset: str = "") -> script.Script:
    return script.direct(script.draw(seed, HOURS), profile, preset)


def test_profiles_name_states_that_there_are_and_keep_what_the_seed_drew():
    named = {state.replace("*", preset) for profile in script.PROFILES.values() for state in profile.states for preset in script.PRESETS}
    assert named <= set(states.STATES)
    for profile, found in script.PROFILES.items():
        plain, made = script.draw(FIRST + 1, HOURS), directed(FIRST + 1, profile)
        assert made == directed(FIRST + 1, profile) and made.profile == profile and bool(made.preset) == found.preset and not plain.profile
        assert all(fault in made.faults for fault in plain.faults) and all(kill in made.kills for kill in plain.kills)
        assert len(made.faults) + len(made.kills) > len(plain.faults) + len(plain.kills) or not found.per_hour


def test_a_seed_that_is_to_lose_has_one_low_limit():
    made = directed(FIRST + 1, script.LOSING)
    bot = bot_of(made, contracts(made.symbols))
    assert sorted((bot.daily_loss, bot.weekly_loss))[0] == LOW_LOSS < sorted((bot.daily_loss, bot.weekly_loss))[1]


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "preset"), REACHED, ids=str)
def test_every_state_of_a_profile_is_reached_in_a_bounded_number_of_seeds(profile, preset):
    missing = {state.replace("*", preset) for state in script.PROFILES[profile].states}
    for seed in range(FIRST, FIRST + SEEDS_MAX):
        outcome = run(directed(seed, profile, preset))
        assert outcome.violation is None, (seed, profile, preset, outcome.violation, outcome.tail)
        missing -= set(outcome.states)
        if not missing:
            return
    pytest.fail(f"{profile} {preset}: {SEEDS_MAX} seeds of {HOURS:g} h have not reached {sorted(missing)}")
