/* Made by tests/front_end/check.py --fix of sources 05f4231fb489a876d64981c52401b4783c7efaec08789ba50c232299dd2a3ca3 */
var Pe=Object.defineProperty;var et=(t,e)=>{for(var s in e)Pe(t,s,{get:e[s],enumerable:!0})};var Yt={zone:"the rules’ word for the run at a step, from a loss below its start to exploding: it follows from the open \
alerts",output_ratio:"‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an adapter adds to what its layer gives",
"depth-scaled output ratio":"the 90th percentile of output_ratio over adapters × depth",delta_norm:"‖ΔW‖: Frobenius nor\
m of the adapter update ΔW = s·B·A",product_norm:"‖B·A‖: Frobenius norm without the scale",predicted_norm:"s·Σlr\
·√(d_out·r/3): what Adam reaches from the default start if every step agrees",spectral_norm:"σ₁(ΔW): the largest sin\
gular value of the adapter update",relative_norm:"‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base \
weight",relative_spectral_norm:"σ₁(ΔW) / σ₁(W₀): the adapter update relative to the base weight, largest singular values",
effective_rank:"exp of the entropy of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0",stable_rank:"‖Δ\
W‖² / σ₁²: a lower, steadier count of the directions in use",a_norm:"‖A‖: Frobenius norm of the factor A",b_norm:"\
‖B‖: Frobenius norm of the factor B",a_grad_norm:"‖∂A‖ as it reaches the optimizer, after clipping",b_grad_norm:"\
‖∂B‖ as it reaches the optimizer, after clipping",a_changed:"share of 64 numbers of A that the last update changed\
; below 1 where rounding loses updates",b_changed:"share of 64 numbers of B that the last update changed; below 1 where \
rounding loses updates",base_drift:"‖W − W₀‖ / ‖W₀‖ of the base weight: 0, since it is frozen",scale:"s: t\
he live factor of B·A; α/r, with rsLoRA α/√r",effective_lr:"s · lr: scale × learning rate of the parameter group th\
at holds B",lr:"learning rate of the first parameter group",loss:"mean training loss of the whole optimizer step, NaN ke\
pt",reward:"mean reward of the completions; of preferences (DPO) the margin between chosen and rejected answers",expected:"\
the loss that the run’s own course predicts for the step",overhead:"share of the wall time that the monitor took after\
 the first 20 steps, which are all measured in full",adapters:"LoRA modules that are monitored",step:"optimizer steps do\
ne",r:"rank: the inner size of B·A",alpha:"lora_alpha, of which the scale is made",base_norm:"‖W₀‖: Frobenius norm of t\
he frozen base weight",base_spectral_norm:"σ₁(W₀): largest singular value of the frozen base weight",group:"index o\
f the optimizer’s parameter group",max:"the largest of any adapter",p90:"90th percentile over adapters",median:"median\
 over adapters",verdict:"the alert that the rules put first, else their word for the run",end:"the run’s own word for it\
s end",steps:"optimizer steps done, of those planned","loss, mean of five":"mean of the last five losses, and how far it\
 is below its start","reward, mean of five":"mean of the last five rewards that were logged; gain: how far it is above t\
he first ones",alerts:"episodes by severity: one cause makes one alert, which opens, lasts and closes",Severity:"ERROR: \
the run fails or will; WARNING: something to act on; INFO: worth knowing",Rule:"its id, as in lora-watch rules and in mu\
te=",Held:"for how many steps its cause lasted",Adapters:"the adapter concerned, the worst first, and how many more","St\
and out":"the adapters that are farthest from the median of all at the step, and by which factor; broken ones first",Kind:"\
kind of the adapted layer","W₀":"the frozen base weight, rows × columns","B · A":"the factors of the adapter update,\
 rows × columns",Trainable:"trainable numbers of the adapter",Frobenius:"‖ΔW‖ / ‖W₀‖, Frobenius norms",spectral:"\
σ₁(ΔW) / σ₁(W₀), largest singular values",A:"of the factor A, r × columns",B:"of the factor B, rows × r",path:"\
the run step by step: gain of the loss against depth-scaled output ratio, in the colours of its zones"},Xt=t=>Object.hasOwn(
Yt,t)?Yt[t]:void 0,De=[[/^output_ratio$/,"ratio of norms"],[/^relative_/,"relative to W₀"],[/spectral_norm$/,"σ₁"],
[/_norm$/,"Frobenius norm"],[/_rank$/,"directions"],[/_changed$|^gain$/,"share"],[/_drift$/,"relative change"],[/^(effective_)?lr$/,
"per step"],[/^loss/,"loss"],[/^reward/,"reward"],[/^scale$/,"s"]],te=t=>De.find(([e])=>e.test(t))?.[1];var He="http://www.w3.org/2000/svg";function se(t,e,s){for(let[n,r]of Object.entries(e??{}))r==null||r===!1||(n.startsWith(
"on")?t.addEventListener(n.slice(2),r):t.setAttribute(n,r===!0?"":r));return t.append(...s.flat(1/0).filter(n=>n!=null&&
n!==!1)),t}var x=t=>Math.round(t/13*parseFloat(getComputedStyle(document.documentElement).fontSize)),c=(t,e,...s)=>se(document.
createElement(t),e,s),g=(t,e,...s)=>se(document.createElementNS(He,t),e,s),mt=(t,e,s,n,r={})=>g("svg",{class:t,width:e,height:s,
viewBox:`0 0 ${e} ${s}`,role:"img","aria-label":n,...r}),pt=(t,e,s)=>g("text",{x:t,y:e,"text-anchor":"middle",class:"emp\
ty"},s);function v(t,e=.001){if(t==null)return"–";if(Number.isNaN(t))return"NaN";if(!Number.isFinite(t))return t>0?"∞":
"−∞";if(t===0)return"0";let s=Math.abs(t);if(s>=1e6||s<e){let[r,o]=t.toExponential(s>=999500?2:1).split("e");return`${r.
replace(/\.?0+$/,"")}e${o.replace("+","")}`.replaceAll("-","−")}return(s>=1e3?String(Math.round(t)):String(Number(t.toPrecision(
3)))).replace("-","−")}var ne=t=>v(t,1e-4);function J(t,e=0){let s=Math.abs(t*100).toFixed(e);return`${t<0&&Number(s)?
"−":""}${s} %`}var st=t=>t.charAt(0).toUpperCase()+t.slice(1),Ge={lr:"learning rate",b:"B",non:"non-"},T=t=>{let e=t.split(
/[-_]/).map(s=>Ge[s]??s).join(" ").replace("- ","-");return/[A-Z]/.test(e.split(" ")[0])?e:st(e)},I={bubble(){let t=document.
getElementById("tip")??c("div",{id:"tip",role:"tooltip"});return t.isConnected||document.body.append(t),t},show(t,...e){
let s=this.bubble();s.replaceChildren(...e.flat().filter(a=>a!=null&&a!==!1).map(a=>a instanceof Node?a:c("div",null,a))),
s.style.display="block";let{offsetWidth:n,offsetHeight:r}=s,o=t.clientX+16+n<innerWidth;s.style.left=`${Math.max(4,o?t.clientX+
14:t.clientX-14-n)}px`,s.style.top=`${Math.max(4,Math.min(t.clientY+14,innerHeight-r-6))}px`},under(t,...e){let{left:s,bottom:n}=t.
getBoundingClientRect();this.show({clientX:s-14,clientY:n-8},...e)},hide(){this.bubble().style.display="none"}},re=t=>({
tabindex:0,role:"button",onclick:t,onkeydown:e=>{e.key!=="Enter"&&e.key!==" "||(e.preventDefault(),e.stopPropagation(),t(
e))}}),oe=(t,e,s)=>c("div",{class:"tip-row"},c("i",{style:`background:${t}`}),c("span",null,e),c("b",null,s)),U=["ERROR",
"WARNING","INFO"],ee={ERROR:"M0-6L6 5H-6Z",WARNING:"M0-6L6 0L0 6L-6 0Z",INFO:"M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 \
0Z"},St=t=>ee[t]??ee.INFO,R=(t,e=14)=>g("svg",{class:`severity ${E(t)}`,viewBox:"-7 -7 14 14",width:e,height:e,"aria-hid\
den":"true"},g("path",{d:St(t)})),V=(t,e)=>t[e.toLowerCase()]??0,E=t=>U.includes(t)?t.toLowerCase():"info";function S(t,e=t){
let s=Xt(e);return s?nt(t,s):t}function nt(t,e,s={}){let n=({currentTarget:o})=>{I.under(o,e),o.setAttribute("aria-descr\
ibedby","tip")},r=({currentTarget:o})=>{I.hide(),o.removeAttribute("aria-describedby")};return c("button",{type:"button",
...s,class:`term ${s.class??""}`.trim(),onclick:o=>{o.preventDefault(),o.stopPropagation(),n(o)},onfocus:n,onblur:r,onpointerenter:n,
onpointerleave:r,onkeydown:o=>{o.key==="Escape"&&(o.stopPropagation(),r(o))}},t)}var L=(t,e,...s)=>c("section",{class:"c\
ard"},t&&c("header",null,c("h2",null,t),e&&c("span",{class:"note"},e)),s),rt=(t,e)=>e.length>0&&c("ul",{class:t},...e.map(
s=>c("li",null,s))),Ke=700;function B(t,e,s=16,n=Ke){if(t<n)return{widths:e.map(()=>t),style:"grid-template-columns:minm\
ax(0,1fr)"};let r=e.reduce((l,i)=>l+i,0),o=t-s*(e.length-1),a=e.map(l=>Math.floor(o*l/r));return{widths:a,style:`grid-te\
mplate-columns:${a.map(l=>`${l}px`).join(" ")}`}}function gt(t,e,{hover:s,leave:n,zoom:r,choose:o}){let a=null,l=d=>d.clientX-
t.getBoundingClientRect().left,i=()=>{a=null,e.style.display="none"};t.addEventListener("pointerdown",d=>{a=l(d)}),t.addEventListener(
"pointermove",d=>{let h=l(d);a!=null&&Math.abs(h-a)>4&&(t.hasPointerCapture(d.pointerId)||t.setPointerCapture(d.pointerId),
e.setAttribute("x",Math.min(h,a)),e.setAttribute("width",Math.abs(h-a)),e.style.display="block"),s(d,h)}),t.addEventListener(
"pointerleave",()=>{n(),I.hide()}),t.addEventListener("pointercancel",i),t.addEventListener("click",d=>{let[h,u]=[a??l(d),
l(d)];i(),Math.abs(u-h)>4?r(Math.min(h,u),Math.max(h,u)):o(d,u)})}var Ct={};et(Ct,{draw:()=>$s,endOf:()=>j,formulaOf:()=>_t,peakOf:()=>ye,rateOf:()=>be,recoveryIn:()=>$t,severityOf:()=>Ft,
title:()=>xs,verdict:()=>vt});var ot=t=>t&4?"not measured":[t&1&&"NaN",t&2&&"Inf"].filter(Boolean).join(" and "),Q=class t{constructor(e,s,n,r){let[o,
a]=e.shape;this.columns=o,this.n=a,this.first=Float64Array.from(e.first),this.last=Float64Array.from(e.last),this.pooled=
e.pooled,this.width=e.width,this.rows=e.rows,this.notes=e.notes,this.low=s,this.high=n,this.flags=r,this.bytes=(s===n?5:
9)*r.length,this.until=void 0}static parse(e){let s=new DataView(e).getUint32(0,!0),n=JSON.parse(new TextDecoder().decode(
new Uint8Array(e,4,s))),[r,o]=n.shape,a=r*o,l=new Uint8Array(e,4+s),i=(u,p)=>{let w=new Uint8Array(p*a);for(let f=0;f<p;f++)
for(let b=0;b<o;b++)for(let m=0;m<r;m++)w[p*(m*o+b)+f]=l[u++];return w},d=new Float32Array(i(0,4).buffer),h=n.pooled?new Float32Array(
i(4*a,4).buffer):d;return new t(n,d,h,i((n.pooled?8:4)*a,1))}window({from:e=-1/0,to:s=1/0,adapter:n}){let r=Array.from(this.
first.keys()).filter(h=>this.last[h]>=e&&this.first[h]<=s),o=n==null?Array.from({length:this.n},(h,u)=>u):[n],a=r.flatMap(
h=>o.map(u=>h*this.n+u)),l=h=>h.constructor.from(a,u=>h[u]),i=l(this.low),d={...this,shape:[r.length,o.length],first:r.map(
h=>this.first[h]),last:r.map(h=>this.last[h]),rows:r.length===this.columns?this.rows:r.length*this.width};return new t(d,
i,this.pooled?l(this.high):i,l(this.flags))}columnOf(e){let s=0,n=this.columns-1;for(;s<n;){let r=s+n+1>>1;this.first[r]<=
e?s=r:n=r-1}return s}at(e,s=0){if(!this.columns||this.first[0]>e)return;let n=this.columnOf(e),r=n*this.n+s;return this.
flags[r]&4||this.first[n]<this.last[n]?void 0:this.high[r]}get end(){return Math.max(this.until??0,this.last[this.columns-
1])}place(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return e>=this.columns?1:(this.first[e]-s)/(n*this.
width)}stepAt(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return Math.floor(s+Math.max(0,Math.min(.999999,
e))*n*this.width)}say(e,s,n){let r=e*this.n+s,o=this.low[r],a=this.high[r],l=this.flags[r];return[Number.isFinite(a)?o===
a?n(a):`${n(o)} … ${n(a)}`:"",l&&ot(l)].filter(Boolean).join(", ")}steps(e){let s=this.first[e],n=this.last[e];return s===
n?`step ${s}`:`steps ${s}–${n}`}};function q(t,e,s){let n=(e-t)/Math.max(1,s);if(!(n>0))return[t];let r=10**Math.floor(Math.log10(n)),o=[1,2,5,10].map(l=>l*
r).find(l=>l>=n*.999)??10*r,a=[];for(let l=Math.ceil(t/o)*o;l<=e+o*1e-9;l+=o)a.push(Number(l.toPrecision(12)));return a}
function it(t,e,s=6){let n=o=>{let a=[];for(let l=Math.floor(t);l<=Math.ceil(e);l++)for(let i of o)Math.log10(i)+l>=t-1e-9&&
Math.log10(i)+l<=e+1e-9&&a.push(+`${i}e${l}`);return a},r=n([1]);return r.length>=3?r.filter((o,a)=>a%Math.ceil(r.length/
s)===0):[[1,2,5],[1,3]].map(n).find(o=>o.length>1&&o.length<=s)??(r.length>1?r:q(10**t,10**e,s/2))}var Ot=(t,{left:e,right:s},n,r=ne)=>t.
flatMap(o=>[g("line",{x1:e,x2:s,y1:n(o),y2:n(o),class:"grid"}),g("text",{x:e-6,y:n(o)+x(4),"text-anchor":"end"},r(o))]),
Y=t=>t.filter(({name:e,back_to:s,step:n})=>e==="recovered"&&s!=null&&s<n).map(({back_to:e,step:s})=>[e+1,s]);function wt(t,e){
let{width:s,height:n,step:r,alerts:o=[]}=e,a=t.filter(Ve),l=t.map(m=>m.name).join(", "),i=mt("chart",s,n,l,o.length?{role:"\
group"}:{});if(!a.length)return i.append(pt(s/2,n/2,e.empty??"not logged in this run")),i;let d=qe(a,e),{X:h,x0:u,x1:p,top:w,
foot:f}=d;i.append(...Ye(d,e),...Xe(d,e.thresholds??[]));let b=[];for(let m of a)i.append(...os(m,d,b));return i.append(
...es(d,e.discarded??[])),r!=null&&r>=u&&r<=p&&i.append(g("line",{x1:h(r),x2:h(r),y1:w,y2:f,class:"cursor"})),i.append(...ss(
d,o,e.onAlert),...(e.marks??[]).flatMap(m=>ts(d,m))),ns(i,a,d,e),i}var Ve=({matrix:t,column:e=0,dash:s})=>t&&Array.from(
t.first).some((n,r)=>Number.isFinite(t.high[r*t.n+e])||!s&&t.flags[r*t.n+e]&3);function qe(t,e){let{width:s,height:n,alerts:r=[]}=e,
o=x(58),a=s-x(12),l=r.length?20:10,i=n-x(22),[d,h]=e.range,u=({matrix:_,column:A=0})=>Array.from({length:_.columns},(M,$)=>_.
high[$*_.n+A]).some(M=>M>0&&M<1/0),p=e.log&&t.some(u),w=p?_=>_>0?Math.log10(_):NaN:_=>_,[f,b]=Qe(Je(Ze(t,w,d,h),e.thresholds,
w,p),e.zero,p);return{left:o,right:a,top:l,foot:i,x0:d,x1:h,log:p,to:w,low:f,high:b,X:_=>o+(h===d?(a-o)/2:(_-d)/(h-d)*(a-
o)),Y:_=>i-(Math.max(f,Math.min(b,_))-f)/(b-f)*(i-l)}}function Ze(t,e,s,n){let r=1/0,o=-1/0;for(let{matrix:a,column:l=0}of t)
for(let i=0;i<a.columns;i++){if(a.last[i]<s||a.first[i]>n)continue;let d=e(a.low[i*a.n+l]),h=e(a.high[i*a.n+l]);d<r&&d>-1/0&&
(r=d),h>o&&h<1/0&&(o=h),h<r&&h>-1/0&&(r=h)}return[r,o]}function Je([t,e],s=[],n,r){for(let{value:o}of s){let a=n(o);r&&a>
e&&a-e<1&&(e=a+.05),r&&a<t&&t-a<1&&(t=a-.05)}return[t,e]}function Qe([t,e],s,n){if(t<=e||([t,e]=[0,1]),s&&!n&&(t=Math.min(
0,t)),n&&e-t>8&&(t=e-8),e-t<1e-9*Math.max(1,Math.abs(e))){let o=n?.3:Math.abs(e)*.1||1;return[e===0?0:t-o,e+o]}let r=(e-
t)*.06;return[s&&t===0?t:t-r,e+r]}function Ye({left:t,right:e,top:s,foot:n,x0:r,x1:o,log:a,to:l,low:i,high:d,X:h,Y:u},p){
let{height:w,term:f,axis:b="step"}=p,m=n-s,y=a?it(i,d,Math.max(2,m/x(18))):q(i,d,Math.max(2,m/x(32))),_=()=>q(r,o,(e-t)/
x(62)).filter(Number.isInteger),A=p.ticks??_().map(k=>[k,k]),M=[te(f??""),a&&"log"].filter(Boolean).join(", "),$=`transl\
ate(${x(10)},${s+m/2})rotate(-90)`;return[...Ot(y,{left:t,right:e},k=>u(l(k))),...A.map(([k,N])=>g("text",{x:h(k),y:w-5,
"text-anchor":"middle"},N)),g("text",{class:"axis-name",x:t-8,y:w-5,"text-anchor":"end"},b),g("text",{class:"axis-name",
"text-anchor":"middle",transform:$},M)]}var Xe=({left:t,right:e,to:s,low:n,high:r,Y:o},a)=>a.map(({value:l,name:i})=>({v:s(
l),name:i})).filter(({v:l})=>l>=n&&l<=r).flatMap(({v:l,name:i})=>[g("line",{x1:t,x2:e,y1:o(l),y2:o(l),class:"threshold"}),
g("text",{x:e-2,y:o(l)-3,"text-anchor":"end",class:"threshold"},i)]),ts=({top:t,foot:e,X:s},{at:n,name:r,kind:o})=>[g("l\
ine",{class:"found",x1:s(n),x2:s(n),y1:t,y2:e,style:`stroke:var(--${o})`}),g("text",{class:"found",x:s(n)-4,y:t+x(10),"t\
ext-anchor":"end",style:`fill:var(--${o})`},r)],es=({top:t,foot:e,x0:s,x1:n,X:r},o)=>o.map(([a,l])=>({first:a,last:l,from:Math.
max(s,a-.5),until:Math.min(n,l+.5)})).filter(({from:a,until:l})=>l>a).map(({first:a,last:l,from:i,until:d})=>{let h=a<l?
`steps ${a} to ${l} were discarded`:`step ${l} was discarded`,u={x:r(i),y:t,width:r(d)-r(i),height:e-t},p=`M${r(d)} ${t+
6}H${r(i)}m5 -4l-5 4l5 4`;return g("g",{class:"discarded"},g("title",null,h),g("rect",u),g("path",{d:p}))});function ss({
top:t,foot:e,x0:s,x1:n,X:r},o,a){let l=o.filter(i=>i.step>=s&&i.step<=n);return l.flatMap((i,d)=>{let h=l.slice(0,d).filter(
({step:f})=>f===i.step).length,u=Math.min(n,i.closed_step==null?n:i.last_step),p=E(i.severity),w={x:r(i.step),y:7.5,width:r(
u)-r(i.step),height:3,class:`held severity ${p}`};return[...u>i.step?[g("rect",w)]:[],It(i,r(i.step)+13*h,h?0:e-t+11,()=>a?.(
i))]})}var It=(t,e,s,n)=>g("g",{class:`mark severity ${E(t.severity)}`,"aria-label":`${t.severity} ${t.name} at step ${t.
step}`,transform:`translate(${e},9)`,...re(r=>{r.stopPropagation(),n()}),onpointermove:r=>{r.stopPropagation();let o=c("\
b",null,`${t.severity} ${t.rule} ${t.name}`);I.show(r,o,`step ${t.step}`,t.message)},onpointerleave:()=>I.hide()},s>0&&g(
"path",{d:`M0 6V${s}`,class:"stem"}),g("path",{d:St(t.severity)}));function ns(t,e,{left:s,right:n,top:r,foot:o,x0:a,x1:l,
X:i},d){let{axis:h="step",say:u=String,onStep:p,onZoom:w}=d,f=g("line",{y1:r,y2:o,class:"hover"}),b=g("rect",{y:r,height:o-
r,class:"select"});t.append(f,b);let m=y=>Math.round(a+Math.max(0,Math.min(1,(y-s)/(n-s)))*(l-a));gt(t,b,{hover:(y,_)=>{
let A=m(_);f.setAttribute("x1",i(A)),f.setAttribute("x2",i(A)),f.style.display="block",I.show(y,`${h} ${u(A)}`,rs(e,A))},
leave:()=>{f.style.display="none"},zoom:(y,_)=>m(y)<m(_)&&w?.(m(y),m(_)),choose:(y,_)=>p?.(m(_))})}var rs=(t,e)=>t.map(({
matrix:s,column:n=0,colour:r,name:o})=>s.first[0]>e?null:oe(r,o,s.say(s.columnOf(e),n,v)));function os(t,{X:e,Y:s,to:n,x0:r,
x1:o,top:a,foot:l},i){let{matrix:d,column:h=0,colour:u,dash:p,thin:w}=t,f=[],b="",m=!1,y="",_="",A=[],M=[],$=[],k=()=>{A.
length>1&&$.push(`M${A.join("L")}L${M.reverse().join("L")}Z`),A.length=M.length=0};for(let N=0;N<d.columns;N++){let O=(d.
first[N]+d.last[N])/2;if(d.last[N]<r||d.first[N]>o)continue;let W=N*d.n+h,z=e(O).toFixed(1);!p&&d.flags[W]&3&&(f.at(-1)?.
column===N-1?Object.assign(f.at(-1),{column:N,to:e(O)}):f.push({column:N,from:e(O),to:e(O),kind:d.flags[W]&1?"NaN":"Inf"}));
let G=n(d.low[W]),K=n(d.high[W]);if(!Number.isFinite(K)){m=!1,_+=y,y="",k();continue}let tt=Number.isFinite(G)?s((G+K)/2):
s(K);b+=`${m?"L":"M"}${z} ${tt.toFixed(1)}`,m?y="":y=`M${z} ${tt.toFixed(1)}h.01`,m=!0,d.pooled&&(A.push(`${z} ${s(K).toFixed(
1)}`),M.push(`${z} ${(Number.isFinite(G)?s(G):l).toFixed(1)}`))}return k(),[$.length&&g("path",{d:$.join(""),class:"band",
style:`fill:${u};stroke:${u}`}),g("path",{d:b,class:w?"line thin":"line","stroke-dasharray":p,style:`stroke:${u}`}),_+y&&
g("path",{d:_+y,class:"lone",style:`stroke:${u}`}),...f.filter(({from:N,to:O})=>!i.some(W=>W.from<=N&&O<=W.to)&&i.push({
from:N,to:O})).map(({from:N,to:O,kind:W})=>g("g",{class:"broken"},g("rect",{x:N-1.5,width:O-N+3,y:a,height:l-a}),g("rect",
{class:"foot",x:N-1.5,width:O-N+3,y:l-6,height:6}),g("text",{x:N+3,y:l-10},W)))].filter(Boolean)}var is=t=>c("div",{class:"\
legend"},t.map(e=>c("span",null,c("i",{class:e.dash?"dashed":null,style:`--swatch:${e.colour}`}),S(e.name)))),P=(t,e,s,n)=>L(
S(t,n.term),e,(n.legend??s.length>1)&&is(s),wt(s,n));var at=t=>t.depth??Math.max(1,new Set(t.adapters.map(({layer:e})=>e).filter(e=>e!=null)).size),ae=({rules:t},e)=>e==="ou\
tput_ratio"?t?.find(({id:s})=>s==="LW102")?.thresholds?.threshold??null:null,le="waiting for the first step",ce="no step\
 was made",Et=t=>t===le||t===ce,as={unknown:"faint","non-finite":"broken",diverged:"c4"};function lt(t,e,s){let n=t.zones?.[e?.
at(s)];if(!n)return null;let r=n.severity?E(n.severity):n.name==="healthy"?"ok":"info",o=n.name==="healthy"?"Loss below \
its start":T(n.name);return{name:n.name,head:o,text:n.text,kind:r,colour:as[n.name]??r}}function ct({loss:t,loss_start:e,
loss_recent:s},n,r=[]){let o=s?.first[s.columnOf(n)],a=r.some(([i,d])=>i<=o&&o<=d&&d<n);return Number.isFinite(t?.at(n)??
0)&&e?.at(n)>0&&!a?1-s?.at(n)/e?.at(n):Number.NaN}var dt=t=>`${J(Math.abs(t))} ${t<0?"above":"below"} its start`,yt=["re\
ward","reward_start","reward_recent"];function bt({reward_start:t,reward_recent:e},s){let n=e?.at(s)-t?.at(s);return Number.
isFinite(n)?`gain ${n<0?"−":"+"}${v(Math.abs(n))}, mean of five`:null}var ht=["output_ratio","relative_spectral_norm"];
async function de(t,e){let s=ht.find($=>t.runs[e].metrics.includes($)),{verdict:n}=await t.data.verdict(e),r=["running",
null].includes(n)?le:ce;if(!s){let $=t.runs[e].step?"the output ratio was not measured":r;return{metric:"output_ratio",points:[],
depth:1,missing:$}}let o={max_cols:400},[a,{alerts:l},i,d]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.spread(
s,o,e),t.series("loss_recent",o,e)]),h=at(a),u=i.first.findIndex(($,k)=>i.flags[k*i.n]&3),p=u<0?void 0:i.first[u],w=d?.columns?
[...new Set([...i.last,d.last.at(-1)])].filter($=>$>=d.first[0]):[],[f,b]=await Promise.all([t.spread(s,{at:w},e),t.seriesOf(
["loss","loss_start","loss_recent","zone"],{at:w},e)]),m=Y(l),y=w.sort(($,k)=>$-k).map($=>({step:$,gain:ct(b,$,m),ratio:h*
f.at($,1),zone:lt(a,b.zone,$)})).filter(({gain:$,ratio:k})=>Number.isFinite($)&&k>0),_=([$,k],{step:N})=>$<=N&&N<=k,A=y.
filter($=>!m.some(k=>_(k,$))),M=m.map($=>y.filter(k=>_($,k)));return{metric:s,points:A,strays:M,depth:h,broken:p,missing:A.
length?null:ls(t.runs[e],u<0?null:i.steps(u),r)}}var ls=({series:t,step:e},s,n)=>e===0?n:t.includes("loss")?t.includes("\
reward")?"the reward counts here, not the loss":s?`NaN since ${s}`:"too few steps":"the loss is unknown";function ie(t){
let e=Math.max(1,Math.round(t.length/30));return t.map((s,n)=>{let r=Math.min(e,n,t.length-1-n),o=t.slice(n-r,n+r+1),a=l=>o.
reduce((i,d)=>i+l(d),0)/o.length;return{...s,gain:a(l=>l.gain),ratio:Math.exp(a(l=>Math.log(l.ratio)))}})}function he(t,e){
let{width:s,height:n,damage:r,step:o,onStep:a}=e,l=t.metric==="output_ratio"?"depth-scaled output ratio":"σ₁(ΔW) / σ₁(W₀\
) × depth",i=ie(t.points),d=(t.strays??[]).map(ie),h=cs([...i,...d.flat()],s,n,r),u=mt("picture",s,n,`${l} against impr\
ovement of the loss`);return u.append(...ds(h,l,n),...hs(h,r)),t.missing?u.append(us(h,t.missing)):u.append(...fs(t.points,
i,d,h),...ms(i,t.broken,h,o)),ps(u,i,h,l,a),u}function cs(t,e,s,n){let r=x(56),o=e-x(20),a=x(12),l=s-x(40),i=t.map(y=>y.
gain),d=t.map(y=>Math.log10(y.ratio)),h=Math.max(-10,Math.min(-.2,...i.map(y=>y*1.12))),u=Math.min(1,Math.max(.4,...i.map(
y=>y*1.15))),p=Math.max(-4,Math.min(...d.length?d:[-1])),w=Math.min(5,Math.max(...d.length?d:[1],n?Math.log10(n):-4)+.3),
f=p-Math.max(.3,(w-p)/9);return{left:r,right:o,top:a,bottom:l,x0:h,x1:u,y0:f,y1:w,X:y=>r+(Math.max(h,Math.min(u,y))-h)/(u-
h)*(o-r),Y:y=>l-(Math.max(f,Math.min(w,Math.log10(y)))-f)/(w-f)*(l-a)}}function ds({left:t,right:e,top:s,bottom:n,x0:r,x1:o,
y0:a,y1:l,X:i,Y:d},h,u){let p=e-t,w=`translate(${x(12)},${(s+n)/2})rotate(-90)`;return[g("rect",{x:t,y:s,width:p,height:n-
s,class:"frame"}),...Ot(it(a,l),{left:t,right:e},d),...q(r,o,Math.max(4,p/x(70))).map(f=>g("text",{x:i(f),y:n+x(15),"tex\
t-anchor":"middle"},J(f))),g("line",{x1:i(0),x2:i(0),y1:s,y2:n,class:"axis"}),g("text",{x:e,y:u-6,"text-anchor":"end",class:"\
axis-name"},"loss (mean of five) below its start →"),g("text",{class:"axis-name","text-anchor":"middle",transform:w},`${h}\
, p90, log`)]}function hs({left:t,right:e,top:s,Y:n},r){return r?[g("rect",{x:t,y:s,width:e-t,height:n(r)-s,class:"damag\
ed"}),g("text",{x:e-x(6),y:n(r)-x(5),"text-anchor":"end",class:"damaged"},"runs up here were damaged")]:[]}var us=({left:t,
right:e,top:s,bottom:n},r)=>pt((t+e)/2,(s+n)/2,Et(r)?r:`no path: ${r}`);function fs(t,e,s,{X:n,Y:r}){let o=i=>`${n(i.gain).
toFixed(1)} ${r(i.ratio).toFixed(1)}`,a=i=>i.map((d,h)=>`${h?"L":"M"}${o(d)}`).join(""),l=({zone:i},d)=>i&&d&&g("path",{
d:`M${o(e[d-1])}L${o(e[d])}`,class:`trace zone ${i.kind}`,style:`stroke:var(--${i.colour})`});return[g("path",{class:"tr\
ace-raw",d:t.map(i=>`M${o(i)}h.01`).join("")}),...s.map(i=>g("path",{d:a(i),class:"trace stray"},g("title",null,`steps ${i[0]?.
step} to ${i.at(-1)?.step}, discarded`))),g("path",{d:a(e),class:"trace-halo"}),g("path",{d:a(e),class:"trace"}),...e.map(
l).filter(Boolean)]}function ms(t,e,{X:s,Y:n,left:r,right:o},a){let l=(u,p,w,f)=>{let b=s(u.gain)>o-x(50)?"end":s(u.gain)<
r+x(50)?"start":"middle";return g("g",{class:w,transform:`translate(${s(u.gain).toFixed(1)},${n(u.ratio).toFixed(1)})`},
g("circle",{r:x(p)}),g("text",{y:w==="begin"?x(17):-x(p+5),"text-anchor":b},f))},i=t[t.length-1],d=e>=i.step,h=t.findLast(
u=>u.step<=a);return[t.length>1&&l(t[0],3.5,"begin",`step ${t[0].step}`),l(i,6,d?"end gone":"end",`step ${i.step}${d?", \
then NaN":""}`),h&&h!==i&&l(h,5,"now",`step ${a}`)].filter(Boolean)}function ps(t,e,{X:s,Y:n},r,o){let a=l=>{let i=t.getBoundingClientRect(),
d=u=>Math.hypot(s(u.gain)-(l.clientX-i.left),n(u.ratio)-(l.clientY-i.top)),h=e.reduce((u,p)=>u&&d(u)<=d(p)?u:p,null);return h&&
d(h)<30?h:null};t.addEventListener("pointermove",l=>{let i=a(l);if(!i)return I.hide();I.show(l,`step ${i.step}: ${i.zone?.
head.toLowerCase()??"zone not recorded"}`,`${r} ${v(i.ratio)}`,`loss (mean of five) ${dt(i.gain)}`)}),t.addEventListener(
"pointerleave",()=>I.hide()),t.addEventListener("click",l=>{let i=a(l);i&&o(i.step)})}var D=({step:t,graver_at:e=null})=>e??t?`step ${e??t}`:"before step 1",gs=t=>t.graver_at==null?"":`, first seen ${D({step:t.
step})}`,xt=t=>`${t.rule}@${t.step}`;function Wt({name:t,lasted:e,closed_step:s,back_to:n},r){return n!=null&&t!=="recov\
ered"?"recovered from":s==null?r?"to the end":"still open":`${e} step${e>1?"s":""}`}async function fe(t,e,s,n){let r=e.adapters?.[0]&&
t.adapters.find(({name:o})=>o===e.adapters[0].name);return c("section",{class:`card detail ${E(e.severity)}`,id:"detail"},
c("header",null,R(e.severity,16),c("h2",null,st(e.message)),c("span",{class:"note"},`${e.rule} · ${D(e)}${gs(e)} · ${Wt(
e,s)}`)),e.details&&c("p",{class:"message"},e.details),ue("Cause",e.causes),e.next_run&&[c("h3",null,"Next run"),c("p",{
class:"advice",id:"settings"},e.next_run.text)],ue("Fix",e.remedies),await ws(t,e,r,n),c("div",{class:"actions"},c("butt\
on",{id:"to-layer",disabled:!r,onclick:()=>t.openAlert(e,"layer")},"See the layer"),c("button",{id:"to-heatmap",disabled:!t.
run.metrics.length,onclick:()=>t.openAlert(e,"heatmap")},"See it in the heatmap")),bs(t,e))}var me=(t,e)=>t.adapters.find(
s=>s.name===e)?.short??e,ue=(t,e)=>e?.length?[c("h3",null,t),c("ul",{class:"advice"},e.map(s=>c("li",null,String(s))))]:
null;async function ws(t,e,s,n){let{metric:r}=e,o=t.run.metrics.includes(r),a=t.window(400),l=null;return o&&s?l={name:`${r}\
, ${s.short}`,matrix:await t.metric(r,{adapter:s.index,...a})}:t.run.series.includes(r)&&(l={name:r,matrix:await t.series(
r,a)}),l?P(l.name,null,[{...l,colour:"var(--c1)"}],{term:r,width:n-52,height:x(150),log:o,...t.charting,alerts:[e],thresholds:o&&
(e.threshold??0)>0?[{value:e.threshold,name:`threshold ${v(e.threshold)}${ys(e,at(t.schema))}`}]:[]}):null}var ys=({threshold:t,
metric:e},s)=>s>1&&ht.includes(e)?`: ${v(t*s)} over ${v(s)} blocks`:"";function bs(t,e){if(!e.adapters?.length)return null;
let s=({name:n,value:r,text:o})=>c("button",{class:"row",onclick:()=>t.set({view:"layer",adapter:n,step:e.step,alert:xt(
e)})},c("span",{class:"mono"},n),c("b",null,r==null?(o??"–").replace("nan","NaN"):v(r)));return[c("h3",null,`Adapters,\
 worst first (${e.adapters.length})`),c("ol",{class:"named"},e.adapters.slice(0,40).map(n=>c("li",null,s(n))))]}function pe(t,e){let s=t.schema.config?.find_lr,n=ut(s?.curve?.rate),r=n.length;if(r<2)return null;let o=B(e-26,[3,2],24),
[a,l]=[Math.log10(n[0]),Math.log10(n[r-1])],i=m=>1+(r-1)*(Math.log10(m)-a)/(l-a),d={width:o.widths[0],range:[1,r],axis:"\
rate",ticks:it(a,l,o.widths[0]/x(70)).filter(m=>i(m)>r/20).map(m=>[i(m),v(m)]),say:m=>v(n[m-1]),marks:[{rate:s.rate,name:"\
suggestion",kind:"ok"},{rate:s.edge,name:s.edge_rule?`edge, ${s.edge_rule}`:"edge",kind:"error"}].filter(({rate:m})=>m!=
null).map(m=>({...m,at:i(m.rate)}))},{loss:h,smoothed:u,output_ratio:p}=s.curve,w=Math.max(...ut(u).filter(Number.isFinite)),
f=[{name:"loss",matrix:Rt(ut(h).map(m=>m>w?Number.NaN:m)),thin:!0},{name:"loss, mean of five",matrix:Rt(ut(u))}].map(m=>({
...m,colour:"var(--c1)"})),b=[{name:"depth-scaled output ratio",matrix:Rt(ut(p)),colour:"var(--c2)"}];return L("Learning\
 rate, found by a sweep",`${r} steps before the run`,c("div",{class:"sweep",id:"found",style:o.style},c("div",null,wt(f,
{...d,height:x(180),term:"loss, mean of five"}),wt(b,{...d,height:x(140),log:!0,term:b[0].name,thresholds:[{value:1}]})),
rt("words",s.sentences??[])))}var ut=t=>(t??[]).map(e=>e==null?Number.NaN:Number(e));function Rt(t){let e=t.map((r,o)=>o+
1),s=Float32Array.from(t),n={shape:[t.length,1],first:e,last:e,width:1,rows:t.length,notes:[]};return new Q({...n,pooled:!1},
s,s,new Uint8Array(t.length))}var xs="Overview",ge=20;function vt(t,e,s,n,r=[],o=null){if(t)return{kind:E(t.severity),head:`${t.severity}: ${t.message}`,
text:t.details,alert:t};if(n)return{kind:"warning",head:`Recovered at step ${n.step}`,text:n.details||n.message,alert:n};
let a=!e||["ok","info"].includes(e.kind);if(a&&o?.kind==="warning")return{kind:"warning",head:T(o.word),text:o.text};if(!e)
return{kind:"info",head:"Not recorded",text:"This run was written without its zones."};let l=a?{...e,head:vs(r)}:e;return e.
name!=="unknown"||!s?l:Et(s)?{...l,head:T(s)}:{...l,text:`${T(s)}.`}}function vs(t){let e=t.filter(({severity:s})=>s==="\
INFO").length;return e<t.length?"No warning is open":e?`No warnings, ${e} note${e>1?"s":""}`:"No alerts"}var $t=(t,e)=>t.
filter(s=>s.name==="recovered"&&s.step<=e).sort((s,n)=>n.step-s.step)[0],Ft=t=>({failed:2,unhealthy:2,interrupted:1,unknown:1})[t]??
0;async function $s(t){let{alerts:e,step:s,state:n}=t,r={at:s},o=t.window(600),[a,l,i,d,h,u,p]=await Promise.all([de(t,n.
run),t.data.verdict(n.run,s<t.lastStep?s:void 0),we(t,r),we(t,o),t.seriesOf(["loss","loss_start","loss_recent",...yt,"ov\
erhead","zone"],r),t.series("effective_lr",{max_cols:600,to:s}),t.seriesOf(["loss","loss_expected","probe_loss","reward",
"effective_lr"],o)]),w=l.first==null?null:e[l.first],f=j(l,t.run),b=vt(w,lt(t.schema,h.zone,s),a.missing,$t(e,s),e.filter(
A=>A.step<=s),f),m=B(t.width,[43,57],16,930),[y,_]=m.widths;return c("div",{class:"overview"},Ss(t,b,f),c("div",{class:"\
tiles"},Is(t,{...h,rates:u},i,a)),c("div",{class:"columns",style:m.style},L(S("Where the run is","path"),Ms(a.points),he(
a,{width:y-26,height:x(470),damage:ae(t.schema,a.metric),step:s,onStep:t.setStep})),_s(t,{...p,size:d},a,_)),L("Alerts",
null,Es(t)),pe(t,t.width))}function _s(t,{loss:e,loss_expected:s,probe_loss:n,reward:r,effective_lr:o,size:a},l,i){let d=t.
lastStep>0,h=t.charting,u=B(i,[1,1],16,520),p={...h,empty:d?"not logged in this run":l.missing,width:u.widths[0]-26,height:x(
190)},w=r?[{name:Lt(t.schema).toLowerCase(),matrix:r,colour:"var(--c1)"}]:[{name:"loss",matrix:e,colour:"var(--c1)"},{name:"\
expected",matrix:s,colour:"var(--soft)",dash:"3 3",thin:!0},...n?[{name:"general texts",matrix:n,colour:"var(--c2)"}]:[]],
f=l.metric==="output_ratio"?"Output ratio":"σ₁(ΔW) relative to σ₁(W₀)";return c("div",{class:"stack"},P(r?Lt(t.
schema):"Loss",null,w,{...h,term:r?"reward":"loss",width:i-26,height:x(212),alerts:t.alerts.filter(b=>b.step>0),onAlert:b=>t.
openAlert(b,"alerts"),empty:d?"the loss is unknown in this run":l.missing}),c("div",{class:"columns",style:u.style},P(f,
"over adapters",a&&d?ks(a):[],{...p,term:l.metric,log:!0}),P("s · lr","per group",d?Ns(o):[],{...p,term:"effective_lr",
zero:!0,log:h.discarded.length>0})))}var ks=t=>["max","p90","median"].map((e,s)=>({name:e,column:s,matrix:t,colour:`var(\
--c${[2,1,3][s]})`,thin:s!==1}));function Ms(t){let e=new Map(t.map(({zone:n})=>[n?.head??"zone not recorded",n?.colour])),
s=([n,r])=>c("span",null,c("i",{style:`--swatch:var(--${r??"trace"})`}),n.toLowerCase());return c("span",{class:"legend"},
[...e].map(s))}var we=async(t,e)=>await t.spread("output_ratio",e)??await t.spread("relative_spectral_norm",e),Ns=t=>Array.
from({length:t?.n??0},(e,s)=>s).filter(e=>t.columns&&Number.isFinite(t.high[(t.columns-1)*t.n+e])).map((e,s)=>({name:`gr\
oup ${e}`,matrix:t,column:e,colour:`var(--c${1+s%6})`}));function j(t,{wall_time:e},s=Date.now()/1e3){let{verdict:n,message:r,
first:o}=t,a=(r??"").split(`
`)[0];if(n==="ok")return{word:"finished",kind:o==null?"ok":"warning",text:a||"Training came to its end."};if(n==="unheal\
thy")return{word:"ended with an ERROR",kind:"error",text:a};if(n==="unknown")return{word:"finished, not judged",kind:"wa\
rning",text:a};if(n==="failed")return{word:"stopped by fail_on",kind:"error",text:a};if(n==="interrupted")return{word:"b\
roke off",kind:"warning",text:a||"It left no verdict: it was killed, or its script ended early."};if(n!=="running")return null;
let l=(s-e)/60;if(l<15)return{word:"running",kind:"info",text:"Training goes on."};let[i,d]=l<120?[l,"min"]:l<2880?[l/60,
"h"]:[l/1440,"days"];return{word:`silent for ${Math.round(i)} ${d}`,kind:"warning",text:"The run wrote nothing since, no\
t even its end: killed, or very slow."}}var As=({step:t,last_step:e,closed_step:s})=>s==null?t?`since step ${t}`:"since \
before step 1":e>t?`steps ${t}–${e}`:`at step ${t}`;function Ss(t,{kind:e,head:s,text:n,alert:r},o){let a=t.ending.next_run?.
text,l=r?.causes?.join("; "),i=!a&&r?.remedies?.join("; "),d=U.map(h=>{let u=V(t.counts,h);return c("button",{class:`chi\
p ${E(h)}`,disabled:!u,title:"show the alerts",onclick:()=>t.set({view:"alerts"})},R(h,11),c("b",null,u),h.toLowerCase()+
(h==="INFO"||u===1?"":"s"))});return c("section",{class:`banner ${e}`,id:"verdict"},c("div",{class:"sign","aria-hidden":"\
true"},e==="ok"?"✓":R(e.toUpperCase(),30)),c("div",{class:"words"},c("h1",null,s,o&&s!==T(o.word)&&nt(o.word,o.text,{id:"\
ended",class:`badge ${o.kind}`}),r&&r.name!=="recovered"&&c("small",null,As(r))),n&&c("p",null,n),r&&o?.word==="broke of\
f"&&c("p",null,`Broke off: ${o.text}`),l&&c("p",{id:"cause"},c("b",null,"Cause "),l),i&&c("p",{class:"fix",id:"fix"},c("\
b",null,"Fix"),i),a&&c("p",{class:"fix",id:"next-run"},c("b",null,"Next run"),a),t.ending.passes&&c("p",{id:"passes"},t.
ending.passes)),c("div",{class:"chips"},d))}var Lt=({config:t})=>t?.preference?"Margin":"Reward",_t=t=>t?.replace("alpha",
"α").replace("sqrt(r)","√r");function Os(t){let e=new Map;for(let n of t)e.set(n,(e.get(n)??0)+1);let s=[...e].sort((n,r)=>r[1]-
n[1]).map(([n])=>n);return s.length>1?`${v(s[0])}…`:v(s[0])}function ye(t,e,s=[]){let n=null,r=o=>s.some(([a,l])=>a<=t.
last[o]&&t.first[o]<=l);for(let o=0;o<(t?.columns??0)&&t.first[o]<=e;o++)for(let a=0;a<t.n&&!r(o);a++){let l=t.high[o*t.
n+a];Number.isFinite(l)&&(n==null||l>n)&&(n=l)}return n}var H=(t,e,s,n,r)=>c("div",{class:"tile"},c("span",{class:"name"},
S(t,e)),c("span",{class:"value"},s),c("span",{class:"note"},n??" "),r);function Is(t,e,s,n){let{loss:r,reward:o,rates:a,
overhead:l}=e,{schema:i,adapters:d,step:h}=t,u=Y(t.alerts),p=ct(e,h,u),w=s?.at(h,1),f=l?.at(h),b=i.max_steps,m=b?Math.min(
1,h/b):null,y=d[0]?.scale_formula,_=n.metric==="output_ratio"?["Depth-scaled output ratio","depth-scaled output ratio"]:
["σ₁ relative to W₀ × depth",n.metric],A=["r","alpha","scale"].map(M=>Os(d.map($=>$[M]))).join(" / ");return[H("St\
ep","step",[String(h),b&&c("small",null,` / ${b}`)],m==null?null:`${J(m)} of the schedule`,m!=null&&c("i",{class:"progre\
ss",style:`--share:${m}`})),o?H(Lt(i),"reward",v(o.at(h)),bt(e,h)):H("Loss","loss",v(r?.at(h)),Number.isFinite(p)?`mean \
of five ${dt(p)}`:null),H(..._,v(w==null?null:n.depth*w),w==null?"not measured":`${v(w)} × depth ${v(n.depth)}`),H("s ·\
 lr, peak","effective_lr",v(ye(a,h,u)),be(i)),H("r / α / s","scale",d.length?A:"–",y?`s = ${_t(y)}`:"no adapters"),H(
"Adapters","adapters",String(d.length),i.config?.model_type??i.optimizer),H("Overhead","overhead",f==null||!t.lastStep?"\
–":J(f,1),t.lastStep?`of the wall time ${h>ge?`since step ${ge}`:"so far"}`:n.missing)]}function be({config:t,peak_lr:e}){
let{rate:s,low:n,high:r}=t?.find_lr??{},o=n!=null&&r!=null?` (${v(n)} to ${v(r)})`:"";return s!=null&&s===t?.learning_rate?
`lr ${v(s)}, found by a sweep${o}`:e?.length?`peak lr ${v(Math.max(...e))}`:null}function Es(t){if(!t.alerts.length)return c(
"p",{class:"none"},"✓ No alert in this run.");let e=s=>c("button",{class:"row",onclick:()=>t.openAlert(s,"alerts")},R(
s.severity),c("b",null,s.rule),c("span",{class:"note"},D(s)),c("span",null,s.message));return c("ol",{class:"alert-list"},
t.alerts.slice(0,6).map(s=>c("li",null,e(s))))}var Tt={};et(Tt,{draw:()=>Ls,title:()=>Ws});var Ws="Alerts",Rs=["Severity","Rule","What","Step","Held","Adapters"];async function Ls(t){if(!t.alerts.length)return L(
null,null,c("p",{class:"none"},"✓ No alert in this run."));let e=!["running",null].includes(t.ending.verdict),s=t.alerts.
find(o=>xt(o)===t.state.alert)??t.alerts[0],n=B(t.width,[52,48],16,1e3),r=c("div",{class:"columns",style:`${n.style};ali\
gn-items:start`},L(null,null,c("table",{class:"grid",id:"alerts"},c("thead",null,c("tr",null,...Rs.map(o=>c("th",null,S(
o))))),c("tbody",null,t.alerts.map((o,a)=>Fs(t,o,a,o===s,e))))),await fe(t,s,e,n.widths[1]));return c("div",null,r)}function Fs(t,e,s,n,r){
let{severity:o,rule:a,message:l,adapters:i}=e;return c("tr",{class:n?"chosen":null,"data-alert":xt(e),onclick:()=>t.openAlert(
e)},c("td",null,c("span",{class:`tag ${E(o)}`},R(o,11),o.toLowerCase())),c("td",{class:"mono"},a),c("td",null,c("button",
{id:`alert-${s}`,class:"open","aria-current":String(n)},st(l))),c("td",null,D(e)),c("td",null,Wt(e,r)),c("td",null,i?.length?
[c("span",{class:"mono clip"},me(t,i[0].name)),i.length>1&&c("small",null,` +${i.length-1}`)]:"–"))}var jt={};et(jt,{draw:()=>Bs,title:()=>Cs});var Cs="Compare",Ts=/^(learning_rate|parameters|find_lr\..*|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;
function xe(t,e="",s={}){if(t&&typeof t=="object"&&!Array.isArray(t))for(let[n,r]of Object.entries(t))xe(r,e?`${e}.${n}`:
n,s);else s[e]=ve(t);return s}function ve(t){return Array.isArray(t)?t.map(String).join(", "):typeof t=="number"&&!Number.
isInteger(t)?v(t):String(t??"–")}async function Bs(t){let e=await Promise.all(t.runNames.map(r=>Ps(t,r))),s=e.some(({last:r})=>r.
reward),n=[...zs.filter(([r])=>s||!r.startsWith("reward")),...Us(e)];return c("div",{class:"compare"},L(`${e.length} run${e.
length===1?"":"s"}`,"with every setting that differs",c("div",{class:"scroll",tabindex:0,role:"region","aria-label":"run\
s"},c("table",{class:"grid sets",id:"runs"},c("thead",null,c("tr",null,c("th",null,"Run"),...n.map(([r])=>c("th",null,S(
r))))),c("tbody",null,e.map(r=>js(t,r,n)))))))}function js(t,e,s){let n={class:"open",onclick:()=>t.openRun(e.name,"over\
view")};return c("tr",{class:e.name===t.state.run?"chosen":null},c("th",{scope:"row"},c("button",n,e.name)),s.map(([,r])=>c(
"td",null,[r(e)].flat())))}var zs=[["verdict",({says:t})=>[t.kind==="ok"?"✓":R(t.kind.toUpperCase(),11)," ",t.head]],[
"end",({end:t})=>t?nt(t.word,t.text,{class:`badge ${t.kind}`}):"–"],["steps",({step:t,schema:e})=>`${t}${e.max_steps?`\
 / ${e.max_steps}`:""}`],["r",({schema:t})=>Bt(t,"r")],["alpha",({schema:t})=>Bt(t,"alpha")],["scale",({schema:t})=>Bt(t,
"scale")],["lr",({schema:t})=>[...new Set(t.peak_lr??[])].map(e=>v(e)).join(", ")||"–"],["loss, mean of five",({last:t})=>{
if(!Number.isFinite(t.loss?.at(1/0)??0))return"NaN";let e=ct(t,1/0);return[v(t.loss_recent?.at(1/0)),Number.isFinite(e)&&
c("small",null,` ${dt(e)}`)]}],["reward, mean of five",({last:t})=>[v(t.reward_recent?.at(1/0)),c("small",null,` ${bt(t,
1/0)??""}`)]],["depth-scaled output ratio",({ratio:t})=>v(t)],["alerts",({counts:t})=>U.map(e=>[e,V(t,e)]).filter(([,e])=>e).
map(([e,s])=>c("span",{class:"tally"},R(e,11),s))]],Bt=({adapters:t},e)=>[...new Set(t.map(s=>ve(s[e])))].join(", ")||"–";
function Us(t){return[...new Set(t.flatMap(({settings:s})=>Object.keys(s)))].filter(s=>!Ts.test(s)).filter(s=>new Set(t.
map(({settings:n})=>n[s])).size>1).map(s=>[s,({settings:n})=>n[s]??"–"])}async function Ps(t,e){let{step:s,metrics:n}=t.
runs[e],r=ht.find(f=>n.includes(f)),[o,{alerts:a,counts:l},i,d,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.
data.verdict(e),t.seriesOf(["loss","loss_start","loss_recent",...yt,"zone"],{at:s},e),r?t.spread(r,{at:s},e):null]),u=h?.
at(1/0,1),p=j(i,t.runs[e]),w=vt(a[i.first],lt(o,d.zone,1/0),null,$t(a,1/0),a,p);return{name:e,step:s,schema:o,counts:l,last:d,
says:w,end:p,ratio:u==null?null:at(o)*u,settings:xe({...o.config,optimizer:o.optimizer,versions:o.versions??{}})}}var Ht={};et(Ht,{draw:()=>Ys,title:()=>Js});var X=[[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]],$e=Uint32Array.
from({length:256},(t,e)=>{let s=e/255*(X.length-1),n=Math.min(X.length-2,Math.floor(s)),r=s-n,[o,a,l]=[0,1,2].map(i=>Math.
round(X[n][i]+(X[n+1][i]-X[n][i])*r));return(255<<24|l<<16|a<<8|o)>>>0}),_e=`linear-gradient(90deg,${X.map(t=>`rgb(${t})`).
join(",")})`;var ke="#ff00a8";function Ae(t,e,s,n,r,o,a){let{columns:l,n:i}=s,d=t.width,h=new ImageData(d,i),u=new Uint32Array(h.data.
buffer),p=Array.from({length:l+1},(M,$)=>Math.round(s.place($)*d));r.forEach(({adapter:M},$)=>{for(let k=0;k<l;k++){let N=n.
cells[k*i+M.index];Number.isNaN(N)||u.fill($e[Math.max(0,Math.min(255,N*255|0))],$*d+p[k],$*d+p[k+1])}});let w=new OffscreenCanvas(
d,i);zt(w).putImageData(h,0,0);let f=zt(t);f.imageSmoothingEnabled=!1,f.scale(a,a);let b=d/a,m=M=>s.place(M)*b,y=0;for(let M=1;M<=
r.length;M++)M<r.length&&r[M].y===r[M-1].y+o||(f.drawImage(w,0,y,d,M-y,0,r[y].y,b,(M-y)*o),y=M);let _=f.createPattern(Ne(
...e.dark?["#2b2f37","#4b515c"]:["#eceef1","#c3c8d0"],6),"repeat");r.forEach(({adapter:M,y:$})=>{Me(s,M.index,4,(k,N)=>{
f.fillStyle=_,f.fillRect(m(k),$,m(N)-m(k),o)})});let A=f.createPattern(Ne(null,"#fff",8),"repeat");r.forEach(({adapter:M,
y:$})=>{Me(s,M.index,3,(k,N)=>{let O=m(N)-m(k),W=Math.round(Math.max(7,O)),z=Math.max(7,o),G=Math.round(Math.max(0,Math.
min(b-W,(m(k)+m(N))/2-W/2))),K=Math.round($+o/2-z/2),tt=o<7||O<7;f.fillStyle="#fff",tt&&f.fillRect(G-1.5,K-1.5,W+3,z+3);
for(f.fillStyle of tt?[ke]:[ke,A])f.fillRect(G,K,W,z)})})}var zt=t=>t.getContext("2d");function Me(t,e,s,n){let r=-1;for(let o=0;o<=
t.columns;o++){let a=o<t.columns&&t.flags[o*t.n+e]&s;a&&r<0&&(r=o),!a&&r>=0&&(n(r,o),r=-1)}}function Ne(t,e,s){let n=new OffscreenCanvas(
s,s),r=zt(n);t&&(r.fillStyle=t,r.fillRect(0,0,s,s)),r.strokeStyle=e,r.beginPath();for(let o of[-s,0,s])r.moveTo(o,s),r.lineTo(
o+s,0);return r.stroke(),n}function Pt(t,e){if(t.length<=e)return t;let s=t.slice(t.lastIndexOf(".")+1),n=e-s.length-1;return t.includes(".")&&n>1?
`${t.slice(0,n)}…${s}`:`${t.slice(0,e-1)}…`}function Se(t){let e=t.map(({name:r,layer:o})=>[r.slice(r.lastIndexOf(".")+
1),r.slice(r.indexOf(`.${o}.`)+1).replace(`${o}.`,""),r.replace(`.${o}.`,".")]),s=(r,o,a)=>JSON.stringify([r,o,a]),n=new Map;
for(let[r,{layer:o}]of t.entries())for(let[a,l]of e[r].entries())n.set(s(o,l,a),(n.get(s(o,l,a))??0)+1);return t.map((r,o)=>{
let{name:a,layer:l}=r,i=e[o].find((d,h)=>n.get(s(l,d,h))===1)??a;return{...r,index:o,type:i,short:l==null?a:`${l} · ${Pt(
i,18)}`}})}function Oe(t){let e=new Map;for(let s of t)e.has(s.type)||e.set(s.type,[]),e.get(s.type).push(s);return[...e].map(([s,n])=>({
name:s,adapters:n}))}function Ie({high:t}){let e=Float32Array.from(t,Math.log2),s=[],n=-1/0,r=Math.max(1,Math.floor(e.length/
2e4))|1;e.forEach((a,l)=>{Number.isFinite(a)&&(n=Math.max(n,a),l%r===0&&s.push(a))}),s.sort((a,l)=>a-l),n===-1/0&&(n=0);
let o=Math.min(s[Math.floor(.01*s.length)]??0,n-1e-6);return{cells:e.map(a=>(a-o)/(n-o)),ends:[`≤ ${v(2**o)}`,"log",v(
2**n)]}}var Ee=t=>Math.max(11,Math.min(22,Math.max(...t.adapters.map(({type:e})=>e.length)))),kt=t=>x(108+6*(Ee(t)-11));function We(t,e,s,n){
let r=Ds(t,e),{rows:o,size:a,height:l}=r,i=Math.max(1,Math.min(3,devicePixelRatio||1)),d=c("canvas",{id:"heat",width:Math.
round(n*i),height:Math.round(l*i),role:"img",style:`width:${n}px;height:${l}px`,"aria-label":`${t.state.metric} of ${e.n}\
 adapters at ${e.columns} columns of steps`});Ae(d,t,e,s,o,a,i);let h=Hs(t,e,r,n);return Gs(d,t,e,o,h,n),c("div",{class:"\
plot",style:`grid-template-columns:${kt(t)-4}px ${n}px`},c("span",{class:"strip-name"},"alerts"),qs(t,e,n),Vs(t,e,r),c("\
div",{class:"stage",style:`width:${n}px;height:${l}px`},d,h.overlay),c("span",{class:"strip-name"},"step"),Zs(e,n))}function Ds(t,{
n:e}){let s=Oe(t.adapters),n=Math.max(300,innerHeight-x(232)),r=s.length<=40?3:e+s.length<=n?1:0,o=Math.max(1,Math.min(x(
30),Math.floor((n-r*s.length)/e))),a=[],l=[],i=0;for(let d of s){let h=i;for(let u of d.adapters)a.push({adapter:u,y:i}),
i+=o;l.push({name:d.name,y:(h+i)/2}),i+=r}return{rows:a,labels:l,size:o,height:i-r}}function Hs(t,e,{rows:s,size:n,height:r},o){
let a=m=>e.place(m)*o,l=m=>Math.max(1.5,a(m+1)-a(m)),i=g("svg",{class:"overlay",width:o,height:r}),d=e.columnOf(t.step);
t.step>=e.first[0]&&i.append(g("rect",{class:"at",x:a(d)-.5,y:0,width:l(d)+1,height:r}));let h=t.state.adapter&&s.find(m=>m.
adapter.name===t.state.adapter);h&&i.append(g("rect",{class:"at",x:.5,y:h.y-.5,width:o-1,height:n+1}));let u=g("rect",{class:"\
cross",height:n+2,width:o}),p=g("rect",{class:"cross",height:r}),w=g("rect",{class:"select",y:0,height:r});return i.append(
u,p,w),{overlay:i,band:w,point:(m,y)=>{u.setAttribute("y",m.y-1),p.setAttribute("x",a(y)),p.setAttribute("width",l(y)),u.
style.display=p.style.display="block"},leave:()=>{u.style.display=p.style.display="none"}}}function Gs(t,e,s,n,{band:r,point:o,
leave:a},l){let i=h=>s.columnOf(s.stepAt(h/l)),d=h=>n.findLast(({y:u})=>u<=h.clientY-t.getBoundingClientRect().top);gt(t,
r,{hover:(h,u)=>{let p=d(h);p&&(o(p,i(u)),I.show(h,...Ks(s,i(u),p.adapter)))},leave:a,zoom:(h,u)=>e.set({from:s.first[i(
h)],to:s.last[i(u)]}),choose:(h,u)=>{let p=d(h)?.adapter.name,w=s.last[i(u)];p&&e.set({view:"layer",adapter:p,step:w>=e.
lastStep?"":w})}})}function Ks(t,e,{name:s,index:n}){let r=t.flags[e*t.n+n];return[c("b",null,s),`${t.steps(e)}: ${t.say(
e,n,v)||"–"}`,r&3?c("strong",null,ot(r)):null]}function Vs(t,{n:e},{rows:s,labels:n,size:r,height:o}){let a=kt(t),l=g(
"svg",{class:"gutter",width:a-6,height:o}),i=r>=x(11)&&n.length<e,d=-99;for(let h of n)h.y-d<x(12)||(d=h.y,l.append(g("t\
ext",{x:i?a-x(36):a-12,y:h.y+x(4),"text-anchor":"end",class:"group"},Pt(h.name,Ee(t)+(i?0:4)),g("title",null,h.name))));
for(let{adapter:h,y:u}of i?s:[])l.append(g("text",{x:a-12,y:u+r/2+x(4),"text-anchor":"end",class:"item"},h.layer??""));return l}
function qs(t,e,s){let r=g("svg",{class:"strip",width:s,height:20});for(let o of t.alerts){if(o.step<e.first[0]||o.step>
e.end)continue;let a=e.columnOf(o.step),l=(e.place(a)+e.place(a+1))/2*s;r.append(It(o,Math.max(7,l),20,()=>t.openAlert(o)))}
return r}function Zs(t,e){let s=g("svg",{class:"axis",width:e,height:x(18)}),n=r=>(r-t.first[0]+.5)/(t.stepAt(1)-t.first[0]+
1)*e;for(let r of q(t.first[0],t.end,e/x(70)).filter(Number.isInteger)){let o=n(r);s.append(g("text",{x:o,y:x(14),"text-\
anchor":o<12?"start":o>e-14?"end":"middle"},r))}return s}var Js="Heatmap",Qs=12,Dt=()=>x(268);async function Ys(t){let{state:e,adapters:s}=t;if(!s.length||!e.metric)return c("p",
{class:"empty-page"},"This run has no adapters.");let n=Xs(t),r=t.width>3*Dt(),o=t.width-(r?Dt()+16:0)-28,a=o-kt(t)-4,l=await t.
metric(e.metric,t.window(Math.max(50,Math.floor(a/50)*50)));if(t.notes=[...new Set([...t.notes,...l.notes])],!l.columns)
return c("div",null,n,c("p",{class:"empty-page"},"No step of this metric lies in the chosen range."));l.until=Math.min(t.
lastStep,e.to===""?1/0:Number(e.to));let i=Ie(l);return c("div",{class:"heat"},n,c("div",{class:"columns",style:`grid-te\
mplate-columns:minmax(0,1fr)${r?` ${Dt()}px`:""}`},c("section",{class:"card"},tn(l,i),We(t,l,i,a)),c("section",{class:"c\
ard side"},c("header",null,c("h2",null,S(`Stand out at ${l.steps(l.columnOf(t.step))}`,"Stand out"))),en(t,l))))}var Xs=t=>c(
"div",{class:"toolbar"},c("span",{class:"pick"},S("Metric",t.state.metric),c("select",{id:"metric","aria-label":"metric",
onchange:e=>t.set({metric:e.target.value})},t.run.metrics.map(e=>c("option",{value:e,selected:e===t.state.metric},e)))),
c("span",{class:"note"},"drag to zoom, click for the adapter, arrow keys for the steps and adapters"));function tn(t,{ends:e}){
return c("div",{class:"scale"},c("span",{class:"bar"},c("i",{style:`background:${_e}`}),c("span",null,e.map(s=>c("span",
null,s)))),c("span",{class:"key"},c("i",{class:"nan"}),"NaN or Inf"),c("span",{class:"key"},c("i",{class:"hatched"}),"no\
t measured"),c("span",{class:"grow"}),c("span",{class:"note"},t.pooled?`${t.rows} steps in ${t.columns} columns; extreme\
s and NaN kept`:`${t.rows} ${t.rows===1?"step was":"steps were"} read`))}function en(t,e){if(t.step<e.first[0])return c(
"p",{class:"none"},"Nothing was measured up to this step.");let s=e.columnOf(t.step)*e.n,n=t.adapters.map(i=>({adapter:i,
value:e.high[s+i.index],flags:e.flags[s+i.index]})).filter(({flags:i})=>!(i&4)).map(i=>({...i,broken:i.flags&3}));if(!n.
some(({broken:i,value:d})=>i||d!==0))return c("p",{class:"none"},n.length?"Nothing is above zero at this step.":"Not mea\
sured at this step.");let r=n.filter(({broken:i})=>!i).sort((i,d)=>i.value-d.value),o=r[r.length>>1]?.value,a=({broken:i,
value:d})=>i?1/0:Math.abs(Math.log2(d/o)),l=({adapter:i,value:d,broken:h})=>c("button",{class:"row",title:i.name,onclick:()=>t.
set({view:"layer",adapter:i.name})},c("span",{class:"clip"},i.short),c("b",null,h?ot(h):v(d)),c("small",null,h?"":sn(d/o)));
return n.sort((i,d)=>a(d)-a(i)||d.value-i.value),c("ol",{class:"standout"},n.slice(0,Qs).map(i=>c("li",null,l(i))))}var sn=t=>t<
1?`÷ ${v(1/t)}`:`× ${v(t)}`;var Gt={};et(Gt,{draw:()=>rn,title:()=>nn});var nn="Layer",Re=[["‖ΔW‖ and what Adam can reach","Frobenius norm",[["delta_norm","delta_norm"],["predicted_norm",
"predicted_norm","5 4"]],!0],["Output ratio","‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens",[["output_ratio","out\
put_ratio"]],!0],["Relative to the base weight","ΔW against W₀",[["relative_norm","Frobenius"],["relative_spectral_no\
rm","spectral"]],!0],["Largest singular value","σ₁(ΔW)",[["spectral_norm","spectral_norm"]],!0],["Ranks in use","of \
r",[["effective_rank","effective_rank"],["stable_rank","stable_rank"]],!1],["Factors","Frobenius norms",[["a_norm","A"],
["b_norm","B"]],!0],["Gradients","as they reach the optimizer",[["a_grad_norm","A"],["b_grad_norm","B"]],!0],["Product",
"‖B·A‖, without the scale",[["product_norm","product_norm"]],!0],["Updates that arrived","share of 64 numbers that \
changed",[["a_changed","A"],["b_changed","B"]],!1],["Base weight","‖W − W₀‖ / ‖W₀‖, 0 where it rests",[["b\
ase_drift","base_drift"]],!0],["s · lr","scale × learning rate",[["effective_lr","effective_lr"]],!1],["Scale s","the \
live factor",[["scale","scale"]],!1]];async function rn(t){let{adapter:e,run:s,state:n}=t;if(!e)return c("p",{class:"emp\
ty-page"},"This run has no adapters.");let r=t.width>x(1260)?4:3,o=B(t.width,Array(r).fill(1)),a=o.widths[0],l=new Set(Re.
flatMap(([,,f])=>f.map(([b])=>b))),i=[...Re,...s.metrics.filter(f=>!l.has(f)).map(f=>[T(f),null,[[f,f]],!0])].map(([f,b,
m,y])=>({name:f,note:b,log:y,several:m.length>1,metrics:m.filter(([_])=>s.metrics.includes(_))})).filter(({metrics:f})=>f.
length),d=i.flatMap(({metrics:f})=>f.map(([b])=>b)),h={max_cols:400,adapter:e.index,from:n.from,to:n.to},u={...h,from:n.
from||1},p=Object.fromEntries(await Promise.all(d.map(async f=>[f,await t.metric(f,f==="effective_lr"?u:h)]))),w=t.alerts.
filter(f=>f.adapters?.some(({name:b})=>b===e.name));return c("div",{class:"layer"},on(t,w),c("div",{class:"columns",style:o.
style},i.map(({name:f,note:b,metrics:m,log:y,several:_})=>{let A=m.map(([$,k,N],O)=>({name:k,matrix:p[$],colour:N?"var(-\
-soft)":`var(--c${O+1})`,dash:N})),M=A.length>1||_;return P(f,b,A,{legend:M,term:m[0][0],width:a-26,height:x(150)+(M?0:x(
21)),...t.charting,log:y||m[0][0]==="effective_lr"&&t.charting.discarded.length>0,alerts:w.filter($=>m.some(([k])=>k===$.
metric)),onAlert:$=>t.openAlert($,"alerts")})})))}function on(t,e){let{adapter:s,adapters:n,schema:r,moveAdapter:o}=t,a=r.
peak_lr?.[s.group??-1],l=(i,d,h)=>d!=null&&c("div",null,c("dt",null,i),c("dd",null,d,h&&c("small",null,` ${h}`)));return c(
"section",{class:"card layer-head"},c("div",{class:"title"},c("button",{id:"before",class:"quiet",title:"adapter before \
(↑)",onclick:()=>o(-1)},"‹"),c("select",{id:"adapter","aria-label":"adapter",title:s.name,onchange:i=>t.set({adapter:i.
target.value})},n.map(i=>c("option",{value:i.name,selected:i===s},i.name))),c("button",{id:"after",class:"quiet",title:"\
adapter after (↓)",onclick:()=>o(1)},"›"),c("span",{class:"note"},`${s.index+1} of ${n.length}`),c("span",{class:"gr\
ow"}),e.length?e.map(i=>c("button",{class:"chip",onclick:()=>t.openAlert(i,"alerts"),title:i.message},R(i.severity,11),`${i.
rule}, ${D(i)}`)):c("span",{class:"note"},"✓ no alert names this adapter")),c("dl",{class:"facts"},l(S("Kind"),s.kind),
s.d_out!=null&&l(S("W₀"),`${s.d_out} × ${s.d_in}`),(s.r??0)>0&&l(S("B · A"),`${s.d_out} × ${s.r} · ${s.r} × ${s.d_in}`),
l(S("r","r"),s.r||null),l(S("α","alpha"),s.alpha==null?null:v(s.alpha)),l(S("s","scale"),s.scale==null?null:v(s.scale),
_t(s.scale_formula)),l(S("Group","group"),s.group==null?"in no optimizer group":String(s.group),a!=null?`lr ≤ ${v(a)}`:
null),l(S("Trainable"),s.trainable?.toLocaleString("en")),l(S("‖W₀‖","base_norm"),s.base_norm==null?"unknown":v(Number(
s.base_norm))),l(S("σ₁(W₀)","base_spectral_norm"),s.base_spectral_norm==null?"unknown":v(Number(s.base_spectral_norm)))))}var Z={overview:Ct,heatmap:Ht,layer:Gt,alerts:Tt,compare:jt};function Kt(t){let e=document.activeElement?.id,{from:s,to:n}=t.state;t.bar.replaceChildren(t.heading,c("nav",{"aria-lab\
el":"views"},an(t)),dn(t),ln(t),c("button",{id:"latest",class:"quiet",title:"follow the latest step (End)",disabled:t.state.
step==="",onclick:()=>t.set({step:""})},"latest"),s===""&&n===""?"":c("button",{id:"unzoom",class:"quiet",title:"all ste\
ps (Esc)",onclick:()=>t.set({from:"",to:""})},`steps ${s}–${n}  ✕`),c("span",{class:"grow"}),t.live?cn(t):""),e&&document.
getElementById(e)?.focus({preventScroll:!0})}function an(t){let e=U.find(n=>V(t.counts,n)),s=U.reduce((n,r)=>n+V(t.counts,
r),0);return Object.entries(Z).map(([n,r])=>c("button",{id:`tab-${n}`,"aria-current":n===t.state.view&&"page",onclick:()=>t.
set({view:n})},r.title,n==="alerts"&&e?c("span",{class:`count ${E(e)}`},s):null))}var ln=t=>c("label",{class:"pick scrub"},
"Step",c("input",{id:"scrub",type:"range",min:0,max:t.lastStep,value:t.step,"aria-label":"step",onchange:e=>t.setStep(Number(
e.target.value)),oninput:e=>{e.target.nextElementSibling.textContent=e.target.value}}),c("output",{id:"step"},t.step)),cn=t=>c(
"button",{id:"refresh",class:t.newer?"quiet newer":"quiet",title:"ask TensorBoard again","aria-label":t.newer?null:"refr\
esh",onclick:()=>t.refresh()},t.newer?`↻ ${t.newer}`:"↻");function dn(t){let e=s=>{let n=j(t.runs[s],t.runs[s]);return c(
"option",{value:s,selected:s===t.state.run},n?`${s} (${n.word})`:s)};return c("label",{class:"pick"},"Run",c("select",{id:"\
run",onchange:({target:s})=>t.openRun(s.value)},t.runNames.map(e)))}var Mt=class{#n;#t=new Map;#s=new WeakMap;#r=0;constructor(e){this.#n=e}forget(){this.#t.clear(),this.#r++}runs(){return this.#e(
"runs",{})}runsNow(){return this.#n("runs",[])}schema(e){return this.#e("schema",{run:e})}alerts(e){return this.#e("aler\
ts",{run:e})}verdict(e,s){return this.#e("verdict",{run:e,step:s})}metric(e,s,n){return this.#e("metric",{run:e,metric:s,
...n})}spread(e,s,n){return this.#e("spread",{run:e,metric:s,...n})}scalars(e,s,n){return this.#e("scalars",{run:e,name:s,
...n})}async#e(e,s){let n=Object.entries(s).filter(([,l])=>l!=null&&l!=="").map(([l,i])=>[l,String(i)]),r=`${e}?${new URLSearchParams(
n)}`;if(this.#t.has(r)){let l=this.#t.get(r);return this.#t.delete(r),this.#t.set(r,l),l}let o=this.#r,a=this.#n(e,n);this.#t.
set(r,a);try{let l=await a;return this.#s.set(a,l.bytes??0),o===this.#r&&this.#o(),l}catch(l){throw this.#t.get(r)===a&&
this.#t.delete(r),l}}#o(){let e=n=>this.#s.get(n)??0,s=0;for(let n of this.#t.values())s+=e(n);for(let[n,r]of this.#t){if(s<=
104857600)break;s-=e(r),this.#t.delete(n)}}};var Vt="lora_watch",ft=`p.${Vt}.`,qt=!1;function Le(){qt=!0}function Zt(){if(qt)return window;try{return window.parent.location.
hash,window.parent}catch{return window}}function Fe(t){let e=()=>{let s=matchMedia("(prefers-color-scheme: dark)");s.addEventListener(
"change",()=>t(s.matches)),t(s.matches)};if(qt)return e();try{let s=window.parent.document.body,n=()=>t(s.classList.contains(
"dark-mode"));new MutationObserver(n).observe(s,{attributes:!0,attributeFilter:["class"]}),n()}catch{e()}}var Nt=()=>Zt().
location.hash.replace(/^#/,"").split("&"),Ce=()=>["",Vt].includes(Nt()[0]);function Jt(){let t={};for(let e of Nt()){if(!e.
startsWith(ft))continue;let[s,n=""]=e.slice(ft.length).split("=");try{t[s]=decodeURIComponent(n.replaceAll("+"," "))}catch{}}
return t}function Te(t,e){if(!Ce())return;let s=Nt().filter((o,a)=>a>0&&o&&!o.startsWith(ft)),n=Object.entries(t).filter(
([,o])=>o!==""&&o!=null).map(([o,a])=>`${ft}${o}=${encodeURIComponent(a)}`),{history:r}=Zt();try{r[e?"pushState":"replac\
eState"](r.state,"",`#${[Vt,...n,...s].join("&")}`)}catch{}}function Be(t){let e=Zt(),s=()=>{Ce()&&Nt().some(n=>n.startsWith(
ft))&&t(Jt())};e.addEventListener("hashchange",s),window.addEventListener("pagehide",()=>e.removeEventListener("hashchan\
ge",s))}function ze(t,e){if(e.ctrlKey||e.metaKey||e.altKey||!t.shown||e.target.matches?.("select")||e.target.id==="scrub"&&e.key.
startsWith("Arrow"))return;let s=e.shiftKey?Math.max(1,Math.round(t.lastStep/20)):1,n=["layer","heatmap"].includes(t.state.
view),r={ArrowLeft:()=>t.setStep(t.step-s),ArrowRight:()=>t.setStep(t.step+s),ArrowUp:n&&(()=>t.moveAdapter(-1)),ArrowDown:n&&
(()=>t.moveAdapter(1)),End:()=>t.set({step:""}),Escape:()=>t.set({from:"",to:""})}[e.key];r&&(e.preventDefault(),r())}var Qt={view:"overview",run:"",metric:"",adapter:"",step:"",from:"",to:"",alert:""},hn=["output_ratio","relative_spectra\
l_norm","relative_norm","delta_norm"],un=5e3;function fn(t,e,s){let n=Object.keys(e).filter(l=>!(l in t)),r=n.length?`${n.
length} new run${n.length>1?"s":""}`:null;if(n.includes(s)||r&&!Object.keys(t).length)return{words:r,isHere:!0};let[o,a]=[
t[s],e[s]];return o&&a&&a.step!==o.step?{words:`now at step ${a.step}`,isHere:!0}:o&&a&&a.wall_time!==o.wall_time?{words:"\
more was written",isHere:!0}:r?{words:r,isHere:!1}:null}var At=class{constructor(e,s,n=!0){this.data=new Mt(s),this.live=
n,this.state={...Qt},this.bar=c("header",{id:"bar"}),this.main=c("main",{id:"view",tabindex:-1}),this.heading=c("h1",{class:"\
unseen"}),this.bar.tabIndex=-1,e.append(this.bar,this.main),this.bar.focus({preventScroll:!0}),document.documentElement.
lang="en",this.drawing=0,this.runs={},this.run={metrics:[],series:[],step:0,wall_time:0},this.schema={adapters:[],notes:[]},
this.ending={verdict:null,message:null,first:null},this.alerts=[],this.counts={},this.adapters=[],this.notes=[]}async start(){
Fe(n=>{this.dark=n,document.documentElement.classList.toggle("dark",n),this.shown&&this.draw()}),this.#s(Jt()),Be(n=>{this.
wanted=null,this.#s(n),this.draw()}),addEventListener("keydown",n=>ze(this,n));let e=innerWidth,s;addEventListener("resi\
ze",()=>{clearTimeout(s),s=setTimeout(()=>{!innerWidth||innerWidth===e||(e=innerWidth,this.draw())},80)}),addEventListener(
"pointerdown",()=>{this.pressed=!0}),addEventListener("pointerup",()=>{this.pressed=!1}),this.live&&setInterval(()=>this.#n(),
un),await this.refresh()}async refresh(){this.data.forget(),await this.draw()}async#n(){if(document.hidden||!innerWidth||
!this.shown||this.loading)return;let{run:e}=this.state,s=await this.data.runsNow().catch(()=>this.runs);if(e!==this.state.
run)return;let n=fn(this.runs,s,this.wanted?.run??e);if(n?.isHere&&this.#t&&!this.pressed)return this.refresh();!this.pressed&&
j(this.ending,this.run)?.word!==this.endWord&&await this.draw(),n?.words!==this.newer&&(this.newer=n?.words,Kt(this))}get#t(){
let{step:e,to:s}=this.state;return s===""&&(e===""||Number(e)>this.lastStep)}set(e){let{view:s,run:n}=this.state;return this.
wanted=null,this.#s({...this.state,...e}),this.navigated||=this.state.view!==s||this.state.run!==n,this.draw()}#s(e){this.
state=Object.fromEntries(Object.entries(Qt).map(([s,n])=>[s,String(e[s]??n)])),this.state.view in Z||(this.state.view="o\
verview")}async draw(){let e=++this.drawing,{view:s,run:n}=this.state;this.loading=!0,document.body.setAttribute("aria-b\
usy","true");let r=setTimeout(()=>{e===this.drawing&&this.shown&&(this.shown!==s||this.shownRun!==n)&&this.#c(s)},150);try{
if(this.runs=await this.data.runs(),!Object.keys(this.runs).length)return this.#i(e,c("p",{class:"empty-page"},"No run h\
ere holds LoRA data yet. Add LoraWatchCallback() to the Trainer."));this.#r();let o=await this.#e();if(e!==this.drawing)
return;await this.#o(o),Kt(this),this.#l();let a=await Z[this.state.view].draw(this);this.#i(e,a)}catch(o){this.#i(e,c("\
div",{class:"empty-page",role:"alert"},c("p",null,`This view could not be drawn: ${o.message}`),c("button",{id:"again",class:"\
quiet",onclick:()=>this.refresh()},"Try again")))}finally{clearTimeout(r)}}#r(){if(this.wanted&&this.wanted.run in this.
runs&&([this.state,this.wanted]=[this.wanted,null]),this.state.run in this.runs)return;this.state.run&&(this.wanted??=this.
state);let e=({verdict:n,wall_time:r})=>[this.live?0:Ft(n),r],s=(n,r)=>e(n)[0]-e(r)[0]||e(n)[1]-e(r)[1];this.#s({...this.
wanted?{view:this.state.view}:this.state,run:Object.keys(this.runs).reduce((n,r)=>s(this.runs[r],this.runs[n])>0?r:n)})}async#e(){
let e=this.state.run,[s,n,r]=await Promise.all([this.data.schema(e),this.data.alerts(e),this.data.verdict(e)]);return{schema:s,
found:n,ending:r}}async#o({schema:e,found:s,ending:n}){this.schema=e,this.ending=n,this.alerts=s.alerts,this.counts=s.counts,
this.notes=[...e.notes,...s.notes],this.run=this.runs[this.state.run],this.adapters=await this.#d(e),this.missing=this.#a();
let r=this.run.metrics;r.includes(this.state.metric)||(this.state.metric=hn.find(o=>r.includes(o))??r[0]??""),this.endWord=
j(n,this.run)?.word,this.newer=void 0}#a(){let{adapter:e}=this.state;return this.wanted?`There is no run “${this.wanted.
run}” here, or TensorBoard has not read it yet. This is the latest one.`:e&&!this.adapters.some(({name:s})=>s===e)?`Th\
is run has no adapter “${e}”.`:this.adapters.length?null:"This run has no adapters: nothing but its loss and rates i\
s known."}#l(){this.wanted||Te(Object.fromEntries(Object.entries(this.state).filter(([e,s])=>s!==Qt[e])),this.navigated),
this.navigated=!1}#c(e){let s=e==="compare"?` and ${Object.keys(this.runs??{}).length} runs`:"";this.main.replaceChildren(
c("div",{class:"empty-page",role:"status",id:"loading"},`Reading ${Z[e].title.toLowerCase()}${s} …`,c("progress")))}#i(e,s){
if(e!==this.drawing)return;let n=document.activeElement?.id,r=this.main.scrollTop;I.hide();let o=rt("notes",[this.missing??
[]].flat());this.main.replaceChildren(...c("div",null,o,s,rt("notes",this.notes??[])).childNodes),n&&document.activeElement?.
id!==n&&document.getElementById(n)?.focus({preventScroll:!0}),document.activeElement===document.body&&this.main.focus({preventScroll:!0}),
this.main.scrollTop=this.shown===this.state.view?r:0,this.heading.textContent=document.title=`LoRA: ${Z[this.state.view].
title}, ${this.state.run}`,this.shown=this.state.view,this.shownRun=this.state.run,this.loading=!1,document.body.removeAttribute(
"aria-busy"),document.body.dataset.ready=this.state.view,document.dispatchEvent(new CustomEvent("lora-watch-drawn"))}async#d(e){
let s=e.adapters;if(!s.length&&this.run.metrics.length){let{n}=await this.data.metric(this.state.run,this.run.metrics[0],
{max_cols:1});s=Array.from({length:n},(r,o)=>({name:`adapter ${o}`}))}return Se(s)}get lastStep(){return this.run.step}get runNames(){
return Object.keys(this.runs).sort((e,s)=>e.localeCompare(s,void 0,{numeric:!0}))}get step(){let e=Number(this.state.step);
return this.state.step===""||!(e>=0&&e<this.lastStep)?this.lastStep:this.run.held?.findLast(s=>s<=e)??Math.floor(e)}get adapter(){
return this.adapters.find(e=>e.name===this.state.adapter)??this.#h??this.adapters[0]}get#h(){let e=this.alerts[this.ending.
first??-1]?.adapters?.[0]?.name;return this.adapters.find(s=>s.name===e)}get width(){let{paddingLeft:e,paddingRight:s}=getComputedStyle(
this.main);return Math.max(280,this.main.clientWidth-parseFloat(e)-parseFloat(s))}metric(e,s){return this.data.metric(this.
state.run,e,s)}async spread(e,s,n=this.state.run){return this.runs[n].metrics.includes(e)?this.data.spread(n,e,s):null}async series(e,s,n=this.
state.run){return this.runs[n].series.includes(e)?this.data.scalars(n,e,s):null}async seriesOf(e,s,n=this.state.run){let r=await Promise.
all(e.map(o=>this.series(o,s,n)));return Object.fromEntries(e.map((o,a)=>[o,r[a]]))}window(e){return{max_cols:e,from:this.
state.from,to:this.state.to}}range(e=this.lastStep){let{from:s,to:n}=this.state;return[s===""?0:Number(s),n===""?Math.max(
1,e):Number(n)]}get charting(){let{step:e,setStep:s,zoom:n}=this;return{step:e,onStep:s,onZoom:n,range:this.range(),discarded:Y(
this.alerts)}}zoom=(e,s)=>this.set({from:e,to:s});setStep=e=>{let s=e>this.step&&this.run.held?.find(n=>n>=e)||e;return this.
set({step:s>=this.lastStep?"":Math.max(0,s)})};moveAdapter=e=>{let s=this.adapters.length;return s&&this.set({adapter:this.
adapters[(this.adapter.index+e+s)%s].name})};openRun=(e,s=this.state.view)=>this.set({view:s,run:e,adapter:"",step:"",from:"",
to:"",alert:""});openAlert=(e,s=this.state.view)=>this.set({view:s,step:e.step,alert:`${e.rule}@${e.step}`,adapter:e.adapters?.[0]?.
name??this.state.adapter,metric:this.run.metrics.includes(e.metric)?e.metric:this.state.metric,from:"",to:""})};async function Ue(t){let e=Uint8Array.from(atob(t.trim()),d=>d.charCodeAt(0)),s=new Blob([e]).stream().pipeThrough(new DecompressionStream(
"deflate")),n=await new Response(s).arrayBuffer(),r=new DataView(n).getUint32(0,!0),{answers:o,tables:a}=JSON.parse(new TextDecoder().
decode(new Uint8Array(n,4,r))),l=new Map,i=d=>{let[h,u]=a[d];return l.has(d)||l.set(d,Q.parse(n.slice(4+r+h,4+r+h+u))),l.
get(d)};return async(d,h)=>{let{run:u="",metric:p,name:w,at:f,...b}=Object.fromEntries(h),m=Object.fromEntries(Object.entries(
b).map(([A,M])=>[A,Number(M)])),y=JSON.stringify([d,u,p??w??""]),_=JSON.stringify([`${d} at`,u,p??w??""]);if(f&&_ in a)return i(
_);if(y in a)return i(y).window(m);if(!(y in o))throw new Error(`The report does not hold ${p??w??d}.`);return d==="verd\
ict"?mn(o[y],m.step??1/0):o[y]}}var mn=({first:t,...e},s)=>({...e,first:t.findLast(([n])=>n<=s)?.[1]??null});Le();var pn=document.getElementById("answers");Ue(pn?.textContent??"").then(t=>new At(document.body,t,!1).start());
