# jq filters that are defined by other filters, where the interpreter's own
# definitions differ from jq or are missing.

def tonumber: if isnumber then . else tonumber_ end;
def toboolean:
  if isboolean then . elif . == "true" then true elif . == "false" then false
  else error("cannot parse as boolean") end;
def toarray: if isarray then . else [.] end;

def isinfinite: . == infinite or . == -infinite;
def isnormal: isnumber and ((. == 0 or isnan or isinfinite) | not);

def in(xs): . as $x | xs | has($x);
def inside(xs): . as $x | xs | contains($x);
def index($i): indices($i)[0];
def rindex($i): indices($i)[-1:][0];
def transpose: (map(length) | max // 0) as $n | [range($n) as $i | [.[][$i]]];

# Later places first, for a removal moves what is behind it; each once.
def delpaths($paths): reduce ($paths | sort | reverse | .[]) as $path ([., null];
  if .[1] == $path then . else [(.[0] | getpath($path) |= empty), $path] end)
  | .[0];
def del(f): delpaths([path(f)]);

def IN(values): . as $x | any(values; . == $x);
def IN(source; values): any(source; IN(values));
def INDEX(rows; key): reduce rows as $row ({}; .[$row | key | tostring] = $row);
def INDEX(key): INDEX(.[]; key);

def join($s):
  reduce .[] as $x (null;
    (if . == null then "" else . + $s end)
    + ($x | if . == null then "" elif isstring then . elif . < "" then tojson
        else error("cannot join values that are arrays or objects") end))
  // "";

def from_entries: reduce .[] as $x ({};
  . + { ($x | if .key == null then .k // .name // .Name // .K // .Key else .key end
          | if isstring then . else tojson end):
        ($x | if has("value") then .value elif has("v") then .v else .Value end) });

def leaf_paths: paths(scalars);
def scan_(re; flags): matches(re; flags)[]
  | if length > 1 then [.[1:][].string] else .[0].string end;
def trimstr($x): ltrimstr($x) | rtrimstr($x);

def @json: tojson;
def @csv: map(
    if isstring then "\"" + gsub("\""; "\"\"") + "\"" elif . == null then ""
    elif . < "" then tojson else error("cannot write arrays or objects as CSV") end)
  | join(",");
def @tsv: map(
    if isstring then gsub("\\\\"; "\\\\") | gsub("\t"; "\\t") | gsub("\n"; "\\n") | gsub("\r"; "\\r")
    elif . == null then "" elif . < "" then tojson
    else error("cannot write arrays or objects as TSV") end)
  | join("\t");
