def test_x(server):
    for p in ("/nothing","/static/../keys/","/keys/"):
        a=server.person().get(p); print(p,a.status,a.text[:300])
    for n in server.services: print(n,server.log(n))
    assert 0
