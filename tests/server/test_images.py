from served import Served


def test_it(served: Served) -> None:
    answer = served.draw()
    print(answer.headers)
    assert answer.status_code == 200, answer.text
