%% What an Erlang programmer would write for the same frames: one process a connection, one process a session
%% with its own receive timeout, sessions found in ets.
%%
%%   erl -noshell -run sojourn_peer main memory HOST PORT        nothing is stored
%%   erl -noshell -run sojourn_peer main durable HOST PORT FILE  an answer leaves when its log entry is synced
%%
%% Prints `ready tcp=HOST:PORT`. The log has one writer, which takes what its mailbox holds, writes it, syncs
%% once, and then releases the answers: what arrives meanwhile is the next group.
-module(sojourn_peer).

-export([main/1, acceptor/2, session/2, log/1]).

-define(SESSION_TIMEOUT_MS, 3600000).
-define(REMEMBERED, 500). % message ids a generation; two generations are kept
-define(ACCEPTORS, 16).
-define(GROUP, 8192). % entries that one sync may cover

-record(session, {id, seq = 1, young = #{}, old = #{}, log}).

main([Mode, Host, Port | Rest]) ->
    ok = os:set_signal(sigterm, default),
    sessions = ets:new(sessions, [named_table, public, {read_concurrency, true}, {write_concurrency, true}]),
    Log = case {Mode, Rest} of
        {"memory", _} -> none;
        {"durable", [File]} -> spawn_link(?MODULE, log, [File])
    end,
    {ok, Address} = inet:parse_address(Host),
    {ok, Listener} = gen_tcp:listen(list_to_integer(Port), [
        binary, {ip, Address}, {packet, raw}, {active, false}, {nodelay, true}, {reuseaddr, true},
        {backlog, 1024}, {buffer, 65536}]),
    {ok, {_, Bound}} = inet:sockname(Listener),
    [spawn(?MODULE, acceptor, [Listener, Log]) || _ <- lists:seq(1, ?ACCEPTORS)],
    io:format("ready tcp=~s:~b~n", [Host, Bound]),
    receive never -> ok end.

%% -- connections ----------------------------------------------------------------------------------------------

%% An acceptor becomes the connection it accepted, and starts its successor.
acceptor(Listener, Log) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    spawn(?MODULE, acceptor, [Listener, Log]),
    ok = inet:setopts(Socket, [{active, 100}]),
    connection(Socket, Log, <<>>).

connection(Socket, Log, Partial) ->
    receive
        {answer, Body} ->
            case gen_tcp:send(Socket, answers([frame(Body)])) of
                ok -> connection(Socket, Log, Partial);
                {error, _} -> gen_tcp:close(Socket)
            end;
        {tcp, Socket, Data} ->
            connection(Socket, Log, requests(joined(Partial, Data), Log));
        {tcp_passive, Socket} ->
            ok = inet:setopts(Socket, [{active, 100}]),
            connection(Socket, Log, Partial);
        {tcp_closed, Socket} -> ok;
        {tcp_error, Socket, _} -> ok
    end.

joined(<<>>, Data) -> Data;
joined(Partial, Data) -> <<Partial/binary, Data/binary>>.

%% All answers that are here already leave in one write.
answers(Frames) ->
    receive {answer, Body} -> answers([Frames, frame(Body)])
    after 0 -> Frames
    end.

frame(Body) -> [<<(byte_size(Body)):32>>, Body].

requests(<<Length:32, Body:Length/binary, Rest/binary>>, Log) ->
    {Request, <<>>} = unpack(Body),
    request(Request, Log),
    requests(Rest, Log);
requests(Partial, _Log) -> Partial.

request(#{<<"type">> := <<"message:send">>, <<"session_id">> := Id} = Request, _Log) ->
    case ets:lookup(sessions, Id) of
        [{_, Session}] -> Session ! {send, self(), Request};
        [] -> refuse(Request, <<"session_not_found">>, <<"there is no such session">>)
    end;
request(#{<<"type">> := <<"session:create">>} = Request, Log) ->
    Id = <<"s_", (hex(random_bytes(14)))/binary>>,
    Session = spawn(?MODULE, session, [Id, Log]),
    ets:insert(sessions, {Id, Session}),
    Session ! {create, self(), Request};
request(#{<<"type">> := <<"hello">>} = Request, _Log) ->
    self() ! {answer, pack(with_reply_to(Request, #{
        <<"type">> => <<"welcome">>, <<"protocol">> => 1, <<"server">> => <<"sojourn_peer">>,
        <<"server_time">> => now_seconds(), <<"role">> => <<"user">>}))};
request(#{<<"type">> := <<"ping">>} = Request, _Log) ->
    self() ! {answer, pack(with_reply_to(Request, #{
        <<"type">> => <<"pong">>, <<"server_time">> => now_seconds()}))};
request(Request, _Log) ->
    refuse(Request, <<"unknown_type">>, <<"this peer knows hello, ping, session:create and message:send">>).

refuse(Request, Code, Message) ->
    self() ! {answer, pack(with_reply_to(Request, #{
        <<"type">> => <<"error">>, <<"code">> => Code, <<"message">> => Message}))}.

with_reply_to(#{<<"id">> := Id}, Reply) -> Reply#{<<"reply_to">> => Id};
with_reply_to(_Request, Reply) -> Reply.

%% -- sessions -------------------------------------------------------------------------------------------------

session(Id, Log) -> session(#session{id = Id, log = Log}).

session(#session{id = Id} = Session) ->
    receive
        {send, Connection, Request} -> session(message(Connection, Request, Session));
        {create, Connection, Request} ->
            created(Connection, Request, Session),
            session(Session)
    after ?SESSION_TIMEOUT_MS ->
        ets:delete(sessions, Id)
    end.

created(Connection, Request, #session{id = Id, log = Log}) ->
    At = now_seconds(),
    Channel = maps:get(<<"channel">>, Request, <<"tcp">>),
    Reply = pack(with_reply_to(Request, #{
        <<"type">> => <<"session:created">>, <<"session_id">> => Id,
        <<"session">> => #{
            <<"session_id">> => Id, <<"status">> => <<"active">>, <<"handling">> => <<"ai">>,
            <<"channel">> => Channel, <<"seq">> => 1, <<"created_at">> => At,
            <<"expires_at">> => At + ?SESSION_TIMEOUT_MS / 1000},
        <<"resume_token">> => hex(random_bytes(16))})),
    kept(Log, Connection, Reply, #{
        <<"type">> => <<"session:created">>, <<"session_id">> => Id, <<"seq">> => 1, <<"at">> => At,
        <<"channel">> => Channel}).

message(Connection, #{<<"message_id">> := MessageId} = Request, Session) ->
    #session{id = Id, seq = Before, young = Young, old = Old, log = Log} = Session,
    case known(MessageId, Young, Old) of
        none ->
            Seq = Before + 1,
            Reply = accepted(Request, Id, Seq, false),
            kept(Log, Connection, Reply, #{
                <<"type">> => <<"message:received">>, <<"session_id">> => Id, <<"seq">> => Seq,
                <<"at">> => now_seconds(), <<"author">> => <<"user">>, <<"message_id">> => MessageId,
                <<"text">> => maps:get(<<"text">>, Request, nil)}),
            % A copy: the id is a part of the whole read, which would stay in memory with it.
            remembered(binary:copy(MessageId), Seq, Session);
        Seq ->
            % Behind the first answer, which may still wait for its sync.
            kept(Log, Connection, accepted(Request, Id, Seq, true), none),
            Session
    end.

known(MessageId, Young, Old) ->
    case Young of
        #{MessageId := Seq} -> Seq;
        #{} -> maps:get(MessageId, Old, none)
    end.

remembered(MessageId, Seq, #session{young = Young} = Session) when map_size(Young) < ?REMEMBERED ->
    Session#session{seq = Seq, young = Young#{MessageId => Seq}};
remembered(MessageId, Seq, #session{young = Young} = Session) ->
    Session#session{seq = Seq, young = #{MessageId => Seq}, old = Young}.

accepted(Request, Id, Seq, Duplicate) ->
    pack(with_reply_to(Request, #{
        <<"type">> => <<"message:accepted">>, <<"session_id">> => Id,
        <<"message_id">> => maps:get(<<"message_id">>, Request), <<"seq">> => Seq,
        <<"duplicate">> => Duplicate, <<"created">> => false, <<"reopened">> => false})).

%% -- the log --------------------------------------------------------------------------------------------------

kept(none, Connection, Reply, _Event) -> Connection ! {answer, Reply};
kept(Log, Connection, Reply, none) -> Log ! {append, Connection, Reply, []};
kept(Log, Connection, Reply, Event) ->
    Body = pack(Event),
    Log ! {append, Connection, Reply, [<<(byte_size(Body)):32, (erlang:crc32(Body)):32>>, Body]}.

log(File) ->
    process_flag(message_queue_data, off_heap),
    process_flag(priority, high),
    {ok, Log} = file:open(File, [raw, append, binary]),
    log_groups(Log).

log_groups(Log) ->
    receive
        {append, Connection, Reply, Entry} ->
            {Entries, Answers} = gathered([Entry], [{Connection, Reply}], 1),
            ok = file:write(Log, Entries),
            ok = file:datasync(Log),
            [To ! {answer, Body} || {To, Body} <- Answers],
            log_groups(Log)
    end.

%% Entries and answers in the order of their coming.
gathered(Entries, Answers, ?GROUP) -> {lists:reverse(Entries), lists:reverse(Answers)};
gathered(Entries, Answers, Count) ->
    receive
        {append, Connection, Reply, Entry} ->
            gathered([Entry | Entries], [{Connection, Reply} | Answers], Count + 1)
    after 0 -> {lists:reverse(Entries), lists:reverse(Answers)}
    end.

%% -- msgpack --------------------------------------------------------------------------------------------------

unpack(<<N, Rest/binary>>) when N < 16#80 -> {N, Rest};
unpack(<<2#101:3, L:5, S:L/binary, Rest/binary>>) -> {S, Rest};
unpack(<<2#1000:4, N:4, Rest/binary>>) -> unpack_map(N, Rest, []);
unpack(<<2#1001:4, N:4, Rest/binary>>) -> unpack_list(N, Rest, []);
unpack(<<16#d9, L, S:L/binary, Rest/binary>>) -> {S, Rest};
unpack(<<16#ce, N:32, Rest/binary>>) -> {N, Rest};
unpack(<<16#c0, Rest/binary>>) -> {nil, Rest};
unpack(<<16#c2, Rest/binary>>) -> {false, Rest};
unpack(<<16#c3, Rest/binary>>) -> {true, Rest};
unpack(<<16#c4, L, B:L/binary, Rest/binary>>) -> {{bin, B}, Rest};
unpack(<<16#c5, L:16, B:L/binary, Rest/binary>>) -> {{bin, B}, Rest};
unpack(<<16#c6, L:32, B:L/binary, Rest/binary>>) -> {{bin, B}, Rest};
unpack(<<16#ca, F:32/float, Rest/binary>>) -> {F, Rest};
unpack(<<16#cb, F:64/float, Rest/binary>>) -> {F, Rest};
unpack(<<16#cc, N, Rest/binary>>) -> {N, Rest};
unpack(<<16#cd, N:16, Rest/binary>>) -> {N, Rest};
unpack(<<16#cf, N:64, Rest/binary>>) -> {N, Rest};
unpack(<<16#d0, N/signed, Rest/binary>>) -> {N, Rest};
unpack(<<16#d1, N:16/signed, Rest/binary>>) -> {N, Rest};
unpack(<<16#d2, N:32/signed, Rest/binary>>) -> {N, Rest};
unpack(<<16#d3, N:64/signed, Rest/binary>>) -> {N, Rest};
unpack(<<16#da, L:16, S:L/binary, Rest/binary>>) -> {S, Rest};
unpack(<<16#db, L:32, S:L/binary, Rest/binary>>) -> {S, Rest};
unpack(<<16#dc, N:16, Rest/binary>>) -> unpack_list(N, Rest, []);
unpack(<<16#dd, N:32, Rest/binary>>) -> unpack_list(N, Rest, []);
unpack(<<16#de, N:16, Rest/binary>>) -> unpack_map(N, Rest, []);
unpack(<<16#df, N:32, Rest/binary>>) -> unpack_map(N, Rest, []);
unpack(<<2#111:3, N:5, Rest/binary>>) -> {N - 32, Rest}.

unpack_map(0, Rest, Pairs) -> {maps:from_list(Pairs), Rest};
unpack_map(N, Packed, Pairs) ->
    {Key, Behind} = unpack(Packed),
    {Value, Rest} = unpack(Behind),
    unpack_map(N - 1, Rest, [{Key, Value} | Pairs]).

unpack_list(0, Rest, Values) -> {lists:reverse(Values), Rest};
unpack_list(N, Packed, Values) ->
    {Value, Rest} = unpack(Packed),
    unpack_list(N - 1, Rest, [Value | Values]).

%% Grows one binary, which the VM extends in place.
pack(Value) -> pack(Value, <<>>).

pack(S, Acc) when is_binary(S), byte_size(S) < 32 -> <<Acc/binary, 2#101:3, (byte_size(S)):5, S/binary>>;
pack(S, Acc) when is_binary(S), byte_size(S) < 256 -> <<Acc/binary, 16#d9, (byte_size(S)), S/binary>>;
pack(S, Acc) when is_binary(S), byte_size(S) < 65536 -> <<Acc/binary, 16#da, (byte_size(S)):16, S/binary>>;
pack(S, Acc) when is_binary(S) -> <<Acc/binary, 16#db, (byte_size(S)):32, S/binary>>;
pack(N, Acc) when is_integer(N), N >= 0, N < 16#80 -> <<Acc/binary, N>>;
pack(N, Acc) when is_integer(N), N >= 0, N < 16#100 -> <<Acc/binary, 16#cc, N>>;
pack(N, Acc) when is_integer(N), N >= 0, N < 16#10000 -> <<Acc/binary, 16#cd, N:16>>;
pack(N, Acc) when is_integer(N), N >= 0, N < 16#100000000 -> <<Acc/binary, 16#ce, N:32>>;
pack(N, Acc) when is_integer(N), N >= 0 -> <<Acc/binary, 16#cf, N:64>>;
pack(N, Acc) when is_integer(N), N >= -32 -> <<Acc/binary, N>>;
pack(N, Acc) when is_integer(N) -> <<Acc/binary, 16#d3, N:64/signed>>;
pack(F, Acc) when is_float(F) -> <<Acc/binary, 16#cb, F/float>>;
pack(false, Acc) -> <<Acc/binary, 16#c2>>;
pack(true, Acc) -> <<Acc/binary, 16#c3>>;
pack(nil, Acc) -> <<Acc/binary, 16#c0>>;
pack({bin, B}, Acc) when byte_size(B) < 256 -> <<Acc/binary, 16#c4, (byte_size(B)), B/binary>>;
pack({bin, B}, Acc) -> <<Acc/binary, 16#c6, (byte_size(B)):32, B/binary>>;
pack(Map, Acc) when is_map(Map), map_size(Map) < 16 ->
    pack_pairs(maps:to_list(Map), <<Acc/binary, 2#1000:4, (map_size(Map)):4>>);
pack(Map, Acc) when is_map(Map) ->
    pack_pairs(maps:to_list(Map), <<Acc/binary, 16#df, (map_size(Map)):32>>);
pack(List, Acc) when is_list(List) ->
    pack_values(List, <<Acc/binary, 16#dd, (length(List)):32>>).

pack_pairs([], Acc) -> Acc;
pack_pairs([{Key, Value} | Pairs], Acc) -> pack_pairs(Pairs, pack(Value, pack(Key, Acc))).

pack_values([], Acc) -> Acc;
pack_values([Value | Values], Acc) -> pack_values(Values, pack(Value, Acc)).

%% -- small things ---------------------------------------------------------------------------------------------

now_seconds() -> erlang:system_time(microsecond) / 1000000.

%% `crypto` is not in Debian's erlang-base; nobody attacks a benchmark.
random_bytes(Bytes) -> << <<(rand:uniform(256) - 1)>> || _ <- lists:seq(1, Bytes) >>.

hex(Bytes) -> << <<(digit(D))>> || <<D:4>> <= Bytes >>.

digit(D) when D < 10 -> $0 + D;
digit(D) -> $a + D - 10.
