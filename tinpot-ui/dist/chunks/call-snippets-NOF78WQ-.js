import{d as b,f as m,a as i,T as j,C as g}from"../app.js";import{w as f,i as l}from"./lossless-json-B8cBJlEH.js";const w={queue:"--queue",priority:"--priority",timeout:"--attempt-timeout",retries:"--retries"},O=["CLI","curl","Python","Rust"],C="***";function q(t){const e=(r,n)=>r===C?S(n):Array.isArray(r)?r.map(s=>e(s,n)):l(r)?Object.fromEntries(Object.entries(r).map(([s,o])=>[s,e(o,s)])):r;return Object.fromEntries(Object.entries(t.parameters).map(([r,n])=>[r,e(n,r)]))}function S(t){return`<${t}>`}function x(t,e){const r=q(e);switch(t){case"CLI":return I(e,r);case"curl":return N(e,r);case"Python":return E(e,r);case"Rust":return T(e,r)}}function d(t,e){return Object.keys(t.options).length===0?{parameters:e}:{parameters:e,options:{...t.options}}}function c(t){return/^[\w@%+=:,./-]+$/.test(t)?t:`'${t.replace(/'/g,"'\\''")}'`}function I(t,e){const r=Object.entries(t.options).map(([s,o])=>` ${w[s]}=${c(String(o))}`),n=`tinpot run ${c(t.action)} --server ${c(t.server)}${r.join("")}`;return Object.keys(e).length===0?n:`${n} -d - <<'END'
${f(e,!0)}
END`}function $(t){return`${t.server}/api/actions/${encodeURIComponent(t.action)}/execute`}function N(t,e){return[`curl -sS -X POST ${c($(t))}`,"-H 'content-type: application/json'",`-d ${c(f(d(t,e),!0))}`].join(` \\
  `)}function E(t,e){return`import json
import urllib.request

body = ${p(d(t,e),"")}
request = urllib.request.Request(
    ${a($(t))},
    data=json.dumps(body).encode(),
    headers={"content-type": "application/json"},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["execution_id"])`}function a(t){return JSON.stringify(t)}function p(t,e){const r=`${e}    `;if(t===null)return"None";if(t===!0)return"True";if(t===!1)return"False";if(typeof t=="string")return a(t);if(Array.isArray(t))return t.length===0?"[]":`[
${t.map(n=>`${r}${p(n,r)},
`).join("")}${e}]`;if(l(t)){const n=Object.entries(t);return n.length===0?"{}":`{
${n.map(([o,u])=>`${r}${a(o)}: ${p(u,r)},
`).join("")}${e}}`}return String(t)}function T(t,e){const r=f(d(t,e),!0);let n="#";for(;r.includes(`"${n}`);)n+="#";return`// cargo add reqwest --features blocking
fn main() -> Result<(), reqwest::Error> {
    let body = r${n}"${r}"${n};
    let answer = reqwest::blocking::Client::new()
        .post(${k($(t))})
        .header("content-type", "application/json")
        .body(body)
        .send()?
        .error_for_status()?
        .text()?;
    println!("{answer}");
    Ok(())
}`}function k(t){return`"${t.replace(/["\\]/g,"\\$&")}"`}function A({queue:t,priority:e,timeout:r,retries:n}){const s={};return t!=="default"&&(s.queue=t),e!==0&&(s.priority=e),r!==null&&(s.timeout=r),n!==0&&(s.retries=n),s}function R({view:t}){const{action_name:e,parameters:r}=t,[n,s]=b("CLI"),o=l(r)?r:{},u=m(),y=x(n,{action:e,parameters:o,options:A(t),server:u});return i("div",{class:"copy-as",children:[i("div",{class:"copy-head",children:[i(j,{class:"segments",label:"Copy as",tabs:O.map(h=>({id:h,title:h})),current:n,onSelect:s}),i(g,{text:()=>y,label:`Copy as ${n}`,children:"Copy"})]}),i("pre",{role:"region",tabIndex:0,"aria-label":`Code for ${n}`,children:y}),JSON.stringify(o).includes('"***"')&&i("p",{class:"faint",children:"Secrets are hidden: replace each <name> with its value."})]})}export{R as CopyAs};
