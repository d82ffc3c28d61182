from sojourn.storage import EVENT_NAMES, EVENT_TYPES, Batch


def test_released_event_codes_never_change() -> None:
    assert dict(EVENT_TYPES) == {
        "session:created": 1,
        "message:received": 2,
        "message:failed": 3,
        "session:context:updated": 4,
        "session:closed": 5,
        "session:reopened": 6,
        "session:expired": 7,
        "session:handed_over": 8,
        "session:assigned": 9,
        "session:released": 10,
        "session:rated": 11,
        "session:tagged": 12,
        "dialog:expired": 13,
        "reminder:set": 14,
        "reminder:fired": 15,
        "reminder:cancelled": 16,
    }


def test_names_and_codes_are_one_to_one() -> None:
    assert {EVENT_NAMES[code]: code for code in EVENT_NAMES} == dict(EVENT_TYPES)


def test_a_new_batch_is_empty_and_shares_nothing_with_another() -> None:
    first, second = Batch(), Batch()
    first.events.append((1, 1, 0.0, 1, 0, b""))
    first.erased_by_key[1] = 1
    assert not second.events
    assert not second.sessions
    assert not second.deadlines
    assert not second.erased
    assert not second.erased_by_key
    assert second.erased_events == 0
