/* Made by tests/front_end/check.py --fix of sources 0b43284e217c68e763c24a6ab46cb6eee5c10688262eeecdbfe99ad32f3350d8 */
var Ue=Object.defineProperty;var nt=(t,e)=>{for(var s in e)Ue(t,s,{get:e[s],enumerable:!0})};var Xt={zone:"the rules’ word for the run at a step, from healthy to exploding: it follows from the open alerts",output_ratio:"\
‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an adapter adds to what its layer gives","depth-scaled\
 output ratio":"the 90th percentile of output_ratio over adapters × depth",delta_norm:"‖ΔW‖: Frobenius norm of the adap\
ter update ΔW = s·B·A",product_norm:"‖B·A‖: Frobenius norm without the scale",predicted_norm:"s·Σlr·√(d_out·r/3)\
: what Adam reaches from the default start if every step agrees",drift_norm:"‖ΔW − ΔW at the start‖: what was learned wh\
ere the adapter did not begin at zero",spectral_norm:"σ₁(ΔW): the largest singular value of the adapter update",relative_norm:"\
‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base weight",relative_spectral_norm:"σ₁(ΔW) \
/ σ₁(W₀): the adapter update relative to the base weight, largest singular values",effective_rank:"exp of the entro\
py of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0",stable_rank:"‖ΔW‖² / σ₁²: a lower, steadier cou\
nt of the directions in use",a_norm:"‖A‖: Frobenius norm of the factor A",b_norm:"‖B‖: Frobenius norm of the factor \
B",a_grad_norm:"‖∂A‖ as it reaches the optimizer, after clipping",b_grad_norm:"‖∂B‖ as it reaches the optimizer, a\
fter clipping",step_norm:"‖ΔW now − ΔW one step before‖: how far one optimizer step goes",a_changed:"share of 64\
 numbers of A that the last update changed; below 1 where rounding loses updates",b_changed:"share of 64 numbers of B th\
at the last update changed; below 1 where rounding loses updates",base_drift:"‖W − W₀‖ / ‖W₀‖ of the base weight: 0, sin\
ce it is frozen",scale:"s: the live factor of B·A; α/r, with rsLoRA α/√r",effective_lr:"s · lr: scale × learning ra\
te of the parameter group that holds B",lr:"learning rate of the first parameter group",loss:"mean training loss of the \
whole optimizer step, NaN kept",expected:"the loss that the run’s own course predicts for the step",overhead:"share of\
 the wall time that the monitor took after the first 20 steps, which are all measured in full",adapters:"LoRA modules th\
at are monitored",step:"optimizer steps done",r:"rank: the inner size of B·A",alpha:"lora_alpha, of which the scale is \
made",base_norm:"‖W₀‖: Frobenius norm of the frozen base weight",base_spectral_norm:"σ₁(W₀): largest singular valu\
e of the frozen base weight",group:"index of the optimizer’s parameter group",max:"the largest of any adapter",p90:"90\
th percentile over adapters",median:"median over adapters",verdict:"the alert that the rules put first, else their word \
for the run",end:"the run’s own word for its end",steps:"optimizer steps done, of those planned","loss, mean of five":"\
mean of the last five losses; gain: the share of its start that it has lost",alerts:"episodes by severity: one cause mak\
es one alert, which opens, lasts and closes",Severity:"ERROR: the run fails or will; WARNING: something to act on; INFO:\
 worth knowing",Rule:"its id, as in lora-watch rules and in mute=",Held:"for how many steps its cause lasted",Adapters:"\
the adapter concerned, the worst first, and how many more","Stand out":"the adapters that are farthest from the median o\
f all at the step, and by which factor; broken ones first",Kind:"kind of the adapted layer","W₀":"the frozen base weig\
ht, rows × columns","B · A":"the factors of the adapter update, rows × columns",Trainable:"trainable numbers of the a\
dapter",Frobenius:"‖ΔW‖ / ‖W₀‖, Frobenius norms",spectral:"σ₁(ΔW) / σ₁(W₀), largest singular values",
A:"of the factor A, r × columns",B:"of the factor B, rows × r",path:"the run step by step: gain of the loss against de\
pth-scaled output ratio, in the colours of its zones"},Yt=t=>Object.hasOwn(Xt,t)?Xt[t]:void 0,Pe=[[/^output_ratio$/,"rat\
io of norms"],[/^relative_/,"relative to W₀"],[/spectral_norm$/,"σ₁"],[/_norm$/,"Frobenius norm"],[/_rank$/,"direct\
ions"],[/_changed$|^gain$/,"share"],[/_drift$/,"relative change"],[/^(effective_)?lr$/,"per step"],[/^loss/,"loss"],[/^scale$/,
"s"]],Qt=t=>Pe.find(([e])=>e.test(t))?.[1];var De="http://www.w3.org/2000/svg";function ee(t,e,s){for(let[n,r]of Object.entries(e??{}))r==null||r===!1||(n.startsWith(
"on")?t.addEventListener(n.slice(2),r):t.setAttribute(n,r===!0?"":r));return t.append(...s.flat(1/0).filter(n=>n!=null&&
n!==!1)),t}var b=t=>Math.round(t/13*parseFloat(getComputedStyle(document.documentElement).fontSize)),c=(t,e,...s)=>ee(document.
createElement(t),e,s),y=(t,e,...s)=>ee(document.createElementNS(De,t),e,s),X=(t,e,s,n,r={})=>y("svg",{class:t,width:e,height:s,
viewBox:`0 0 ${e} ${s}`,role:"img","aria-label":n,...r}),dt=(t,e,s)=>y("text",{x:t,y:e,"text-anchor":"middle",class:"emp\
ty"},s);function x(t,e=.001){if(t==null)return"–";if(Number.isNaN(t))return"NaN";if(!Number.isFinite(t))return t>0?"∞":
"−∞";if(t===0)return"0";let s=Math.abs(t);if(s>=1e6||s<e){let[r,o]=t.toExponential(s>=999500?2:1).split("e");return`${r.
replace(/\.?0+$/,"")}e${o.replace("+","")}`.replaceAll("-","−")}return(s>=1e3?String(Math.round(t)):String(Number(t.toPrecision(
3)))).replace("-","−")}var se=t=>x(t,1e-4);function B(t,e=0){let s=Math.abs(t*100).toFixed(e);return`${t<0&&Number(s)?
"−":""}${s} %`}var He={lr:"learning rate",b:"B",rslora:"rsLoRA",dora:"DoRA",adalora:"AdaLoRA",non:"non-"},R=t=>{let e=t.
split(/[-_]/).map(s=>He[s]??s).join(" ").replace("- ","-");return/[A-Z]/.test(e.split(" ")[0])?e:e.charAt(0).toUpperCase()+
e.slice(1)},I={bubble(){let t=document.getElementById("tip")??c("div",{id:"tip",role:"tooltip"});return t.isConnected||document.
body.append(t),t},show(t,...e){let s=this.bubble();s.replaceChildren(...e.flat().filter(i=>i!=null&&i!==!1).map(i=>i instanceof
Node?i:c("div",null,i))),s.style.display="block";let{offsetWidth:n,offsetHeight:r}=s,o=t.clientX+16+n<innerWidth;s.style.
left=`${Math.max(4,o?t.clientX+14:t.clientX-14-n)}px`,s.style.top=`${Math.max(4,Math.min(t.clientY+14,innerHeight-r-6))}\
px`},under(t,...e){let{left:s,bottom:n}=t.getBoundingClientRect();this.show({clientX:s-14,clientY:n-8},...e)},hide(){this.
bubble().style.display="none"}},ut=t=>({tabindex:0,role:"button",onclick:t,onkeydown:e=>{e.key!=="Enter"&&e.key!==" "||(e.
preventDefault(),e.stopPropagation(),t(e))}}),rt=(t,e,s)=>c("div",{class:"tip-row"},c("i",{style:`background:${t}`}),c("\
span",null,e),c("b",null,s)),z=["ERROR","WARNING","INFO"],te={ERROR:"M0-6L6 5H-6Z",WARNING:"M0-6L6 0L0 6L-6 0Z",INFO:"M-\
4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z"},ot=t=>te[t]??te.INFO,L=(t,e=14)=>y("svg",{class:`severity ${W(t)}`,viewBox:"\
-7 -7 14 14",width:e,height:e,"aria-hidden":"true"},y("path",{d:ot(t)})),W=t=>z.includes(t)?t.toLowerCase():"info";function O(t,e=t){
let s=Yt(e);return s?it(t,s):t}function it(t,e,s={}){let n=({currentTarget:o})=>{I.under(o,e),o.setAttribute("aria-descr\
ibedby","tip")},r=({currentTarget:o})=>{I.hide(),o.removeAttribute("aria-describedby")};return c("button",{type:"button",
...s,class:`term ${s.class??""}`.trim(),onclick:o=>{o.preventDefault(),o.stopPropagation(),n(o)},onfocus:n,onblur:r,onpointerenter:n,
onpointerleave:r,onkeydown:o=>{o.key==="Escape"&&(o.stopPropagation(),r(o))}},t)}var F=(t,e,...s)=>c("section",{class:"c\
ard"},t&&c("header",null,c("h2",null,t),e&&c("span",{class:"note"},e)),s),At=(t,e)=>e.length>0&&c("ul",{class:t},...e.map(
s=>c("li",null,s))),Ge=700;function U(t,e,s=16,n=Ge){if(t<n)return{widths:e.map(()=>t),style:"grid-template-columns:minm\
ax(0,1fr)"};let r=e.reduce((l,a)=>l+a,0),o=t-s*(e.length-1),i=e.map(l=>Math.floor(o*l/r));return{widths:i,style:`grid-te\
mplate-columns:${i.map(l=>`${l}px`).join(" ")}`}}function ft(t,e,{hover:s,leave:n,zoom:r,choose:o}){let i=null,l=h=>h.clientX-
t.getBoundingClientRect().left,a=()=>{i=null,e.style.display="none"};t.addEventListener("pointerdown",h=>{i=l(h)}),t.addEventListener(
"pointermove",h=>{let d=l(h);i!=null&&Math.abs(d-i)>4&&(t.hasPointerCapture(h.pointerId)||t.setPointerCapture(h.pointerId),
e.setAttribute("x",Math.min(d,i)),e.setAttribute("width",Math.abs(d-i)),e.style.display="block"),s(h,d)}),t.addEventListener(
"pointerleave",()=>{n(),I.hide()}),t.addEventListener("pointercancel",a),t.addEventListener("click",h=>{let[d,u]=[i??l(h),
l(h)];a(),Math.abs(u-d)>4?r(Math.min(d,u),Math.max(d,u)):o(h,u)})}var Ct={};nt(Ct,{draw:()=>Is,endOf:()=>D,formulaOf:()=>$t,noAlert:()=>wt,peakOf:()=>pe,rateOf:()=>ge,recoveryIn:()=>vt,severityOf:()=>Ft,
title:()=>Ss,verdict:()=>xt});var St={};nt(St,{draw:()=>hs,inOrder:()=>gt,title:()=>ls});var at=t=>t&4?"not measured":[t&1&&"NaN",t&2&&"Inf"].filter(Boolean).join(" and "),mt=class t{constructor(e,s,n,r){let[o,
i]=e.shape;this.columns=o,this.n=i,this.first=Float64Array.from(e.first),this.last=Float64Array.from(e.last),this.pooled=
e.pooled,this.width=e.width,this.rows=e.rows,this.notes=e.notes,this.low=s,this.high=n,this.flags=r,this.bytes=(s===n?5:
9)*r.length,this.until=void 0}static parse(e){let s=new DataView(e).getUint32(0,!0),n=JSON.parse(new TextDecoder().decode(
new Uint8Array(e,4,s))),r=n.shape[0]*n.shape[1],o=4+s,i=new Float32Array(e,o,r);n.pooled&&(o+=4*r);let l=n.pooled?new Float32Array(
e,o,r):i;return new t(n,i,l,new Uint8Array(e,o+4*r,r))}window({from:e=-1/0,to:s=1/0,adapter:n,max_cols:r=1/0}){let o=Array.
from(this.first.keys()).filter(g=>this.last[g]>=e&&this.first[g]<=s),i=n==null?Array.from({length:this.n},(g,p)=>p):[n],
l=Math.max(1,Math.ceil(o.length/r)),a=Array.from({length:Math.ceil(o.length/l)},(g,p)=>o.slice(p*l,(p+1)*l)),h=a.length*
i.length,d=this.pooled||l>1,u=new Float32Array(h),f=d?new Float32Array(h):u,w=new Uint8Array(h);a.forEach((g,p)=>{i.forEach(
($,M)=>{let A=g.map(S=>S*this.n+$),N=p*i.length+M,v=S=>A.map(E=>S[E]).filter(Number.isFinite),[_,k]=[v(this.low),v(this.
high)];f[N]=_.length?Math.min(..._):this.low[A[0]],u[N]=k.length?Math.max(...k):this.high[A[0]],w[N]=A.reduce((S,E)=>S|this.
flags[E]&3,0),A.every(S=>this.flags[S]&4)&&(w[N]|=4)})});let m={shape:[a.length,i.length],first:a.map(g=>this.first[g[0]]),
last:a.map(g=>this.last[g[g.length-1]]),pooled:d,width:this.width*l,rows:o.length===this.columns?this.rows:o.length*this.
width,notes:this.notes};return new t(m,f,u,w)}columnOf(e){let s=0,n=this.columns-1;for(;s<n;){let r=s+n+1>>1;this.first[r]<=
e?s=r:n=r-1}return s}at(e,s=0){if(!this.columns||this.first[0]>e)return;let n=this.columnOf(e),r=n*this.n+s;return this.
flags[r]&4||this.first[n]<this.last[n]?void 0:this.high[r]}get end(){return Math.max(this.until??0,this.last[this.columns-
1])}place(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return e>=this.columns?1:(this.first[e]-s)/(n*this.
width)}stepAt(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return Math.floor(s+Math.max(0,Math.min(.999999,
e))*n*this.width)}say(e,s,n){let r=e*this.n+s,o=this.low[r],i=this.high[r],l=this.flags[r];return[Number.isFinite(i)?o===
i?n(i):`${n(o)} … ${n(i)}`:"",l&&at(l)].filter(Boolean).join(", ")}steps(e){let s=this.first[e],n=this.last[e];return s===
n?`step ${s}`:`steps ${s}–${n}`}};function P(t,e,s){let n=(e-t)/Math.max(1,s);if(!(n>0))return[t];let r=10**Math.floor(Math.log10(n)),o=[1,2,5,10].map(l=>l*
r).find(l=>l>=n*.999)??10*r,i=[];for(let l=Math.ceil(t/o)*o;l<=e+o*1e-9;l+=o)i.push(Number(l.toPrecision(12)));return i}
function Y(t,e,s=6){let n=o=>{let i=[];for(let l=Math.floor(t);l<=Math.ceil(e);l++)for(let a of o)Math.log10(a)+l>=t-1e-9&&
Math.log10(a)+l<=e+1e-9&&i.push(+`${a}e${l}`);return i},r=n([1]);return r.length>=3?r.filter((o,i)=>i%Math.ceil(r.length/
s)===0):[[1,2,5],[1,3]].map(n).find(o=>o.length>1&&o.length<=s)??(r.length>1?r:P(10**t,10**e,s/2))}var Q=(t,{left:e,right:s},n,r=se)=>t.
flatMap(o=>[y("line",{x1:e,x2:s,y1:n(o),y2:n(o),class:"grid"}),y("text",{x:e-6,y:n(o)+b(4),"text-anchor":"end"},r(o))]),
j=t=>t.filter(({name:e,back_to:s,step:n})=>e==="recovered"&&s!=null&&s<n).map(({back_to:e,step:s})=>[e+1,s]);function Ke(t,e){
let{width:s,height:n,step:r,alerts:o=[]}=e,i=t.filter(Ve),l=t.map(p=>p.name).join(", "),a=X("chart",s,n,l,o.length?{role:"\
group"}:{});if(!i.length)return a.append(dt(s/2,n/2,e.empty??"not logged in this run")),a;let h=qe(i,e),{X:d,x0:u,x1:f,top:w,
foot:m}=h;a.append(...Ye(h,e),...Qe(h,e.thresholds??[]));let g=[];for(let p of i)a.append(...rs(p,h,g));return a.append(
...ts(h,e.discarded??[])),r!=null&&r>=u&&r<=f&&a.append(y("line",{x1:d(r),x2:d(r),y1:w,y2:m,class:"cursor"})),a.append(...es(
h,o,e.onAlert)),ss(a,i,h,e),a}var Ve=({matrix:t,column:e=0,dash:s})=>t&&Array.from(t.first).some((n,r)=>Number.isFinite(
t.high[r*t.n+e])||!s&&t.flags[r*t.n+e]&3);function qe(t,e){let{width:s,height:n,alerts:r=[]}=e,o=b(58),i=s-b(12),l=r.length?
20:10,a=n-b(22),[h,d]=e.range,u=({matrix:M,column:A=0})=>Array.from({length:M.columns},(N,v)=>M.high[v*M.n+A]).some(N=>N>
0&&N<1/0),f=e.log&&t.some(u),w=f?M=>M>0?Math.log10(M):NaN:M=>M,[m,g]=Xe(Je(Ze(t,w,h,d),e.thresholds,w,f),e.zero,f);return{
left:o,right:i,top:l,foot:a,x0:h,x1:d,log:f,to:w,low:m,high:g,X:M=>o+(d===h?(i-o)/2:(M-h)/(d-h)*(i-o)),Y:M=>a-(Math.max(
m,Math.min(g,M))-m)/(g-m)*(a-l)}}function Ze(t,e,s,n){let r=1/0,o=-1/0;for(let{matrix:i,column:l=0}of t)for(let a=0;a<i.
columns;a++){if(i.last[a]<s||i.first[a]>n)continue;let h=e(i.low[a*i.n+l]),d=e(i.high[a*i.n+l]);h<r&&h>-1/0&&(r=h),d>o&&
d<1/0&&(o=d),d<r&&d>-1/0&&(r=d)}return[r,o]}function Je([t,e],s=[],n,r){for(let{value:o}of s){let i=n(o);r&&i>e&&i-e<1&&
(e=i+.05),r&&i<t&&t-i<1&&(t=i-.05)}return[t,e]}function Xe([t,e],s,n){if(t<=e||([t,e]=[0,1]),s&&!n&&(t=Math.min(0,t)),n&&
e-t>8&&(t=e-8),e-t<1e-9*Math.max(1,Math.abs(e))){let o=n?.3:Math.abs(e)*.1||1;return[e===0?0:t-o,e+o]}let r=(e-t)*.06;return[
s&&t===0?t:t-r,e+r]}function Ye({left:t,right:e,top:s,foot:n,x0:r,x1:o,log:i,to:l,low:a,high:h,X:d,Y:u},{height:f,term:w}){
let m=n-s,g=i?Y(a,h,Math.max(2,m/b(18))):P(a,h,Math.max(2,m/b(32))),p=P(r,o,(e-t)/b(62)).filter(Number.isInteger),$=[Qt(
w??""),i&&"log"].filter(Boolean).join(", "),M=`translate(${b(10)},${s+m/2})rotate(-90)`;return[...Q(g,{left:t,right:e},A=>u(
l(A))),...p.map(A=>y("text",{x:d(A),y:f-5,"text-anchor":"middle"},A)),y("text",{class:"axis-name",x:t-8,y:f-5,"text-anch\
or":"end"},"step"),y("text",{class:"axis-name","text-anchor":"middle",transform:M},$)]}var Qe=({left:t,right:e,to:s,low:n,
high:r,Y:o},i)=>i.map(({value:l,name:a})=>({v:s(l),name:a})).filter(({v:l})=>l>=n&&l<=r).flatMap(({v:l,name:a})=>[y("lin\
e",{x1:t,x2:e,y1:o(l),y2:o(l),class:"threshold"}),y("text",{x:e-2,y:o(l)-3,"text-anchor":"end",class:"threshold"},a)]),ts=({
top:t,foot:e,x0:s,x1:n,X:r},o)=>o.map(([i,l])=>({first:i,last:l,from:Math.max(s,i-.5),until:Math.min(n,l+.5)})).filter(({
from:i,until:l})=>l>i).map(({first:i,last:l,from:a,until:h})=>{let d=i<l?`steps ${i} to ${l} were discarded`:`step ${l} \
was discarded`,u={x:r(a),y:t,width:r(h)-r(a),height:e-t},f=`M${r(h)} ${t+6}H${r(a)}m5 -4l-5 4l5 4`;return y("g",{class:"\
discarded"},y("title",null,d),y("rect",u),y("path",{d:f}))});function es({top:t,foot:e,x0:s,x1:n,X:r},o,i){let l=o.filter(
a=>a.step>=s&&a.step<=n);return l.flatMap((a,h)=>{let d=l.slice(0,h).filter(({step:p})=>p===a.step).length,u=Math.min(n,
a.closed_step==null?n:a.last_step),f=W(a.severity),w={x:r(a.step),y:7.5,width:r(u)-r(a.step),height:3,class:`held severi\
ty ${f}`},m={class:`mark severity ${f}`,"aria-label":`${a.severity} ${a.name} at step ${a.step}`,transform:`translate(${r(
a.step)+13*d},9)`,...ut(p=>{p.stopPropagation(),i?.(a)}),onpointermove:p=>{p.stopPropagation();let $=c("b",null,`${a.severity}\
 ${a.rule} ${a.name}`);I.show(p,$,`step ${a.step}`,a.message)}},g=!d&&y("path",{d:`M0 6V${e-t+11}`,class:"stem"});return[
...u>a.step?[y("rect",w)]:[],y("g",m,g,y("path",{d:ot(a.severity)}))]})}function ss(t,e,{left:s,right:n,top:r,foot:o,x0:i,
x1:l,X:a},{onStep:h,onZoom:d}){let u=y("line",{y1:r,y2:o,class:"hover"}),f=y("rect",{y:r,height:o-r,class:"select"});t.append(
u,f);let w=m=>Math.round(i+Math.max(0,Math.min(1,(m-s)/(n-s)))*(l-i));ft(t,f,{hover:(m,g)=>{let p=w(g);u.setAttribute("x\
1",a(p)),u.setAttribute("x2",a(p)),u.style.display="block",I.show(m,`step ${p}`,ns(e,p))},leave:()=>{u.style.display="no\
ne"},zoom:(m,g)=>w(m)<w(g)&&d(w(m),w(g)),choose:(m,g)=>h(w(g))})}var ns=(t,e)=>t.map(({matrix:s,column:n=0,colour:r,name:o})=>s.
first[0]>e?null:rt(r,o,s.say(s.columnOf(e),n,x)));function rs(t,{X:e,Y:s,to:n,x0:r,x1:o,top:i,foot:l},a){let{matrix:h,column:d=0,
colour:u,dash:f,thin:w}=t,m=[],g="",p=!1,$="",M="",A=[],N=[],v=[],_=()=>{A.length>1&&v.push(`M${A.join("L")}L${N.reverse().
join("L")}Z`),A.length=N.length=0};for(let k=0;k<h.columns;k++){let S=(h.first[k]+h.last[k])/2;if(h.last[k]<r||h.first[k]>
o)continue;let E=k*h.n+d,H=e(S).toFixed(1);!f&&h.flags[E]&3&&(m.at(-1)?.column===k-1?Object.assign(m.at(-1),{column:k,to:e(
S)}):m.push({column:k,from:e(S),to:e(S),kind:h.flags[E]&1?"NaN":"Inf"}));let K=n(h.low[E]),V=n(h.high[E]);if(!Number.isFinite(
V)){p=!1,M+=$,$="",_();continue}let st=Number.isFinite(K)?s((K+V)/2):s(V);g+=`${p?"L":"M"}${H} ${st.toFixed(1)}`,p?$="":
$=`M${H} ${st.toFixed(1)}h.01`,p=!0,h.pooled&&(A.push(`${H} ${s(V).toFixed(1)}`),N.push(`${H} ${(Number.isFinite(K)?s(K):
l).toFixed(1)}`))}return _(),[v.length&&y("path",{d:v.join(""),class:"band",style:`fill:${u};stroke:${u}`}),y("path",{d:g,
class:w?"line thin":"line","stroke-dasharray":f,style:`stroke:${u}`}),M+$&&y("path",{d:M+$,class:"lone",style:`stroke:${u}`}),
...m.filter(({from:k,to:S})=>!a.some(E=>E.from<=k&&S<=E.to)&&a.push({from:k,to:S})).map(({from:k,to:S,kind:E})=>y("g",{class:"\
broken"},y("rect",{x:k-1.5,width:S-k+3,y:i,height:l-i}),y("rect",{class:"foot",x:k-1.5,width:S-k+3,y:l-6,height:6}),y("t\
ext",{x:k+3,y:l-10},E)))].filter(Boolean)}var os=t=>c("div",{class:"legend"},t.map(e=>c("span",null,c("i",{class:e.dash?
"dashed":null,style:`--swatch:${e.colour}`}),O(e.name)))),G=(t,e,s,n)=>F(O(t,n.term),e,(n.legend??s.length>1)&&os(s),Ke(
s,n));var pt=t=>`${t.rule}@${t.step}`;function Ot({step:t,last_step:e,closed_step:s},n){return s==null?n?"to the end":"still o\
pen":`${e-t+1} step${e>t?"s":""}`}async function re(t,e,s,n){let r=e.adapters?.[0]&&t.adapters.find(({name:o})=>o===e.adapters[0].
name);return c("section",{class:`card detail ${W(e.severity)}`,id:"detail"},c("header",null,L(e.severity,16),c("h2",null,
R(e.name)),c("span",{class:"note"},`${e.rule} · step ${e.step} · ${Ot(e,s)}`)),c("p",{class:"message"},c("b",null,e.message.
charAt(0).toUpperCase()+e.message.slice(1)),e.details&&`. ${e.details}`),ne("Cause",e.causes),e.next_run&&[c("h3",null,"\
Next run"),c("p",{class:"advice",id:"settings"},e.next_run.text)],ne("Fix",e.remedies),await is(t,e,r,n),c("div",{class:"\
actions"},c("button",{id:"to-layer",disabled:!r,onclick:()=>t.openAlert(e,"layer")},"See the layer"),c("button",{id:"to-\
heatmap",disabled:!t.run.metrics.length,onclick:()=>t.openAlert(e,"heatmap")},"See it in the heatmap")),as(t,e))}var oe=(t,e)=>t.
adapters.find(s=>s.name===e)?.short??e,ne=(t,e)=>e?.length?[c("h3",null,t),c("ul",{class:"advice"},e.map(s=>c("li",null,
String(s))))]:null;async function is(t,e,s,n){let{metric:r}=e,o=t.run.metrics.includes(r),i=t.window(400),l=null;return o&&
s?l={name:`${r}, ${s.short}`,matrix:await t.metric(r,{adapter:s.index,...i})}:t.run.series.includes(r)&&(l={name:r,matrix:await t.
series(r,i)}),l?G(l.name,null,[{...l,colour:"var(--c1)"}],{term:r,width:n-52,height:b(150),log:o,step:t.step,onStep:t.setStep,
onZoom:t.zoom,range:t.range(),discarded:j(t.alerts),alerts:[e],thresholds:o&&(e.threshold??0)>0?[{value:e.threshold,name:`\
threshold ${x(e.threshold)}${r==="output_ratio"?" of a layer":""}`}]:[]}):null}function as(t,e){if(!e.adapters?.length)return null;
let s=({name:n,value:r,text:o})=>c("button",{class:"row",onclick:()=>t.set({view:"layer",adapter:n,step:e.step,alert:pt(
e)})},c("span",{class:"mono"},n),c("b",null,r==null?(o??"–").replace("nan","NaN"):x(r)));return[c("h3",null,`Adapters,\
 worst first (${e.adapters.length})`),c("ol",{class:"named"},e.adapters.slice(0,40).map(n=>c("li",null,s(n))))]}var ls="Alerts",cs=["Severity","Rule","What","Step","Held","Adapters"],gt=t=>[...t].sort((e,s)=>z.indexOf(e.severity)-z.
indexOf(s.severity)||e.step-s.step);async function hs(t){if(!t.alerts.length)return F(null,null,c("p",{class:"none"},`✓ ${wt(
t.schema)}`));let e=!["running",null].includes(t.ending.verdict),s=gt(t.alerts),n=s.find(i=>pt(i)===t.state.alert)??s[0],
r=U(t.width,[52,48]),o=c("div",{class:"columns",style:`${r.style};align-items:start`},F(null,null,c("table",{class:"grid",
id:"alerts"},c("thead",null,c("tr",null,...cs.map(i=>c("th",null,O(i))))),c("tbody",null,s.map((i,l)=>ds(t,i,l,i===n,e))))),
await re(t,n,e,r.widths[1]));return c("div",null,o)}function ds(t,e,s,n,r){let{severity:o,rule:i,name:l,step:a,adapters:h}=e;
return c("tr",{class:n?"chosen":null,"data-alert":pt(e),onclick:()=>t.openAlert(e)},c("td",null,c("span",{class:`tag ${W(
o)}`},L(o,11),o.toLowerCase())),c("td",{class:"mono"},i),c("td",null,c("button",{id:`alert-${s}`,class:"open","aria-curr\
ent":String(n)},R(l))),c("td",{class:"number"},a),c("td",null,Ot(e,r)),c("td",null,h?.length?[c("span",{class:"mono clip"},
oe(t,h[0].name)),h.length>1&&c("small",null,` +${h.length-1}`)]:"–"))}var yt="var(--c1)",It="var(--c2)";function ie(t,e){let s=t.schema.config?.find_lr;if(!(s?.curve?.rate?.length>1))return null;
let n=U(e-26,[3,2],24);return F("Learning rate, found by a sweep",`${s.curve.rate.length} steps before the run`,c("div",
{class:"sweep",id:"found",style:n.style},us(s,n.widths[0]),c("ul",{class:"words"},(s.sentences??[]).map((r,o)=>c("li",{class:o?
null:"head"},r)))))}var bt=t=>(t??[]).map(Number),Et=(t,e,s,n)=>r=>s+(r-t)/(e-t||1)*(n-s);function us(t,e){let s=t.curve,
n=bt(s.rate),r=fs(n,e),o=X("chart",e,r.height,"loss and depth-scaled output ratio over the learning rate",{onpointermove:i=>ms(
i,s,n,r),onpointerleave:()=>I.hide()});return o.append(...ps(r),...gs(t,r),...ws(s,n,r),...ys(s,n,r),...bs(t,r)),o}function fs(t,e){
let s=b(330),n=b(58),r=e-b(16),o=b(14),i=s-b(38),l=b(20),a=o+(i-o-l)*.6,h=[Math.log10(t[0]),Math.log10(t.at(-1))],d=Et(h[0],
h[1],n,r);return{height:s,left:n,right:r,top:o,foot:i,gap:l,middle:a,ends:h,X:f=>d(Math.min(Math.max(Math.log10(f),h[0]),
h[1]))}}function ms(t,e,s,{X:n}){let r=i=>Math.abs(n(i)-(t.clientX-t.currentTarget.getBoundingClientRect().left)),o=s.reduce(
(i,l,a)=>r(l)<r(s[i])?a:i,0);I.show(t,c("b",null,`learning rate ${x(s[o])}`),rt(yt,"loss",x(Number(e.loss[o]))),rt(It,"d\
epth-scaled output ratio",x(Number(e.output_ratio[o]))))}var q=(t,e,s,n={})=>y("text",{x:t,y:e,...n},s),ps=({height:t,left:e,
right:s,foot:n,ends:r,X:o})=>[...Y(r[0],r[1],(s-e)/b(70)).map(i=>q(o(i),n+b(15),x(i),{"text-anchor":"middle"})),q((e+s)/
2,t-6,"learning rate",{"text-anchor":"middle",class:"axis-name"})];function gs({low:t,high:e},{top:s,foot:n,X:r}){if(t==
null||e==null)return[];let o={x:r(t),y:s,width:Math.max(r(e)-r(t),1),height:n-s};return[y("rect",{class:"plateau",...o,style:"\
fill:var(--ok)"})]}function ae(t,e,{X:s},n,r){let i=t.map((l,a)=>[e[a],l]).filter(([,l])=>Number.isFinite(l)).map(([l,a])=>`${s(
l).toFixed(1)} ${n(a).toFixed(1)}`);return i.length?[y("path",{class:"line",style:`stroke:${r}`,d:`M${i.join("L")}`})]:[]}
function ws(t,e,s){let{left:n,top:r,middle:o,X:i}=s,l=bt(t.smoothed),a=Math.max(...l.filter(Number.isFinite)),h=bt(t.loss).
map((f,w)=>({loss:f,rate:e[w]})).filter(({loss:f})=>f<=a),d=Math.min(a,...h.map(({loss:f})=>f));if(!Number.isFinite(d))return[
q(n+6,r+b(20),"no finite loss")];let u=Et(d,a,o,r);return[...Q(P(d,a,(o-r)/b(34)),s,u),...h.map(({loss:f,rate:w})=>y("ci\
rcle",{class:"one",cx:i(w),cy:u(f),r:2.5,style:`fill:${yt}`})),...ae(l,e,s,u,yt),q(n+6,o-6,"loss, mean of five",{style:`\
fill:${yt}`})]}function ys(t,e,s){let{left:n,right:r,foot:o,gap:i,middle:l}=s,a=bt(t.output_ratio).map(g=>g>0?Math.log10(
g):Number.NaN),h=a.filter(Number.isFinite),d=l+i;if(!h.length)return[q(n+6,d+b(14),"depth-scaled output ratio: not measu\
red")];let u=Math.min(...h,-.3),f=Math.max(...h,.3),w=Et(u,f,o,d),m=Y(u,f,(o-d)/b(24)).filter(g=>Math.abs(Math.log10(g))>
.5);return[...Q([1,...m],s,g=>w(Math.log10(g)),x),y("line",{x1:n,x2:r,y1:w(0),y2:w(0),class:"one"}),...ae(a,e,s,w,It),q(
n+6,d+b(14),"depth-scaled output ratio",{style:`fill:${It}`})]}var bs=({rate:t,edge:e,edge_rule:s},{top:n,foot:r,X:o})=>[
[t,"suggestion","ok"],[e,s?`edge, ${s}`:"edge","error"]].filter(([i])=>i!=null).flatMap(([i,l,a])=>{let h=o(i);return[y(
"line",{class:"found",x1:h,x2:h,y1:n,y2:r,style:`stroke:var(--${a})`}),q(h-4,n+b(10),l,{"text-anchor":"end",class:"found",
style:`fill:var(--${a})`})]});var Wt=t=>t.depth??Math.max(1,new Set(t.adapters.map(({layer:e})=>e).filter(e=>e!=null)).size),ce=({rules:t},e)=>e==="ou\
tput_ratio"?t?.find(({id:s})=>s==="LW102")?.thresholds?.threshold??null:null,he="waiting for the first step",de="no step\
 was made",Rt=t=>t===he||t===de,xs={unknown:"faint","non-finite":"broken",diverged:"c4"};function lt(t,e,s){let n=t.zones?.[e?.
at(s)];if(!n)return null;let r=n.severity?W(n.severity):n.name==="healthy"?"ok":"info";return{name:n.name,head:R(n.name),
text:n.text,kind:r,colour:xs[n.name]??r}}var ct=({loss:t,loss_start:e,loss_recent:s},n)=>Number.isFinite(t?.at(n)??0)?1-
s?.at(n)/e?.at(n):Number.NaN,Lt=["output_ratio","relative_spectral_norm"];async function ue(t,e){let s=Lt.find(v=>t.runs[e].
metrics.includes(v)),{verdict:n}=await t.data.verdict(e),r=["running",null].includes(n)?he:de;if(!s){let v=t.runs[e].step?
"the output ratio was not measured":r;return{metric:"output_ratio",points:[],depth:1,missing:v}}let o={max_cols:400},[i,
{alerts:l},a,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.spread(s,o,e),t.series("loss_recent",o,e)]),d=Wt(
i),u=a.first.findIndex((v,_)=>a.flags[_*a.n]&3),f=u<0?void 0:a.first[u],w=h?.columns?[...new Set([...a.last,h.last.at(-1)])].
filter(v=>v>=h.first[0]):[],[m,g]=await Promise.all([t.spread(s,{at:w},e),t.seriesOf(["loss","loss_start","loss_recent",
"zone"],{at:w},e)]),p=w.sort((v,_)=>v-_).map(v=>({step:v,gain:ct(g,v),ratio:d*m.at(v,1),zone:lt(i,g.zone,v)})).filter(({
gain:v,ratio:_})=>Number.isFinite(v)&&_>0),$=j(l),M=([v,_],{step:k})=>v<=k&&k<=_,A=p.filter(v=>!$.some(_=>M(_,v))),N=$.map(
v=>p.filter(_=>M(v,_)));return{metric:s,points:A,strays:N,depth:d,broken:f,missing:A.length?null:vs(t.runs[e],u<0?null:a.
steps(u),r)}}var vs=({series:t,step:e},s,n)=>e===0?n:t.includes("loss")?s?`NaN since ${s}`:"too few steps":"the loss is \
unknown";function le(t){let e=Math.max(1,Math.round(t.length/30));return t.map((s,n)=>{let r=Math.min(e,n,t.length-1-n),
o=t.slice(n-r,n+r+1),i=l=>o.reduce((a,h)=>a+l(h),0)/o.length;return{...s,gain:i(l=>l.gain),ratio:Math.exp(i(l=>Math.log(
l.ratio)))}})}function fe(t,e){let{width:s,height:n,damage:r,step:o,onStep:i}=e,l=t.metric==="output_ratio"?"depth-scale\
d output ratio":"σ₁(ΔW) / σ₁(W₀) × depth",a=le(t.points),h=(t.strays??[]).map(le),d=$s([...a,...h.flat()],s,n,
r),u=X("picture",s,n,`${l} against improvement of the loss`);return u.append(...Ns(d,l,n),...Ms(d,r)),t.missing?u.append(
ks(d,t.missing)):u.append(..._s(t.points,a,h,d),...As(a,t.broken,d,o)),Os(u,a,d,l,i),u}function $s(t,e,s,n){let r=b(56),
o=e-b(20),i=b(12),l=s-b(40),a=t.map(p=>p.gain),h=t.map(p=>Math.log10(p.ratio)),d=Math.max(-1,Math.min(-.2,...a.map(p=>p*
1.12))),u=Math.min(1,Math.max(.4,...a.map(p=>p*1.15))),f=Math.max(-4,Math.min(...h.length?h:[-1])-.3),w=Math.min(5,Math.
max(...h.length?h:[1],n?Math.log10(n):-4)+.3);return{left:r,right:o,top:i,bottom:l,x0:d,x1:u,y0:f,y1:w,X:p=>r+(Math.max(
d,Math.min(u,p))-d)/(u-d)*(o-r),Y:p=>l-(Math.max(f,Math.min(w,Math.log10(p)))-f)/(w-f)*(l-i)}}function Ns({left:t,right:e,
top:s,bottom:n,x0:r,x1:o,y0:i,y1:l,X:a,Y:h},d,u){let f=e-t,w=`translate(${b(12)},${(s+n)/2})rotate(-90)`;return[y("rect",
{x:t,y:s,width:f,height:n-s,class:"frame"}),...Q(Y(i,l),{left:t,right:e},h),...P(r,o,Math.max(4,f/b(70))).map(m=>y("text",
{x:a(m),y:n+b(15),"text-anchor":"middle"},B(m))),y("line",{x1:a(0),x2:a(0),y1:s,y2:n,class:"axis"}),y("text",{x:e,y:u-6,
"text-anchor":"end",class:"axis-name"},"gain: loss below its start →"),y("text",{class:"axis-name","text-anchor":"midd\
le",transform:w},`${d}, p90, log`)]}function Ms({left:t,right:e,top:s,Y:n},r){return r?[y("rect",{x:t,y:s,width:e-t,height:n(
r)-s,class:"damaged"}),y("text",{x:e-b(6),y:n(r)-b(5),"text-anchor":"end",class:"damaged"},"runs up here were damaged")]:
[]}var ks=({left:t,right:e,top:s,bottom:n},r)=>dt((t+e)/2,(s+n)/2,Rt(r)?r:`no path: ${r}`);function _s(t,e,s,{X:n,Y:r}){
let o=a=>`${n(a.gain).toFixed(1)} ${r(a.ratio).toFixed(1)}`,i=a=>a.map((h,d)=>`${d?"L":"M"}${o(h)}`).join(""),l=({zone:a},h)=>a&&
h&&y("path",{d:`M${o(e[h-1])}L${o(e[h])}`,class:`trace zone ${a.kind}`,style:`stroke:var(--${a.colour})`});return[y("pat\
h",{class:"trace-raw",d:t.map(a=>`M${o(a)}h.01`).join("")}),...s.map(a=>y("path",{d:i(a),class:"trace stray"},y("title",
null,`steps ${a[0]?.step} to ${a.at(-1)?.step}, discarded`))),y("path",{d:i(e),class:"trace-halo"}),y("path",{d:i(e),class:"\
trace"}),...e.map(l).filter(Boolean)]}function As(t,e,{X:s,Y:n,left:r,right:o},i){let l=(u,f,w,m)=>{let g=s(u.gain)>o-b(
50)?"end":s(u.gain)<r+b(50)?"start":"middle";return y("g",{class:w,transform:`translate(${s(u.gain).toFixed(1)},${n(u.ratio).
toFixed(1)})`},y("circle",{r:b(f)}),y("text",{y:w==="begin"?b(17):-b(f+5),"text-anchor":g},m))},a=t[t.length-1],h=e>=a.step,
d=t.findLast(u=>u.step<=i);return[t.length>1&&l(t[0],3.5,"begin","start"),l(a,6,h?"end gone":"end",`step ${a.step}${h?",\
 then NaN":""}`),d&&d!==a&&l(d,5,"now",`step ${i}`)].filter(Boolean)}function Os(t,e,{X:s,Y:n},r,o){let i=l=>{let a=t.getBoundingClientRect(),
h=u=>Math.hypot(s(u.gain)-(l.clientX-a.left),n(u.ratio)-(l.clientY-a.top)),d=e.reduce((u,f)=>u&&h(u)<=h(f)?u:f,null);return d&&
h(d)<30?d:null};t.addEventListener("pointermove",l=>{let a=i(l);if(!a)return I.hide();I.show(l,`step ${a.step}: ${a.zone?.
head.toLowerCase()??"zone not recorded"}`,`${r} ${x(a.ratio)}`,`gain ${B(a.gain)}`)}),t.addEventListener("pointerleave",
()=>I.hide()),t.addEventListener("click",l=>{let a=i(l);a&&o(a.step)})}var Ss="Overview",tt=20;function xt(t,e,s,n){if(t)return{kind:W(t.severity),head:`${t.severity}: ${t.message}`,text:t.details||
t.causes?.[0],alert:t};if(n)return{kind:"warning",head:`Recovered at step ${n.step}`,text:n.details||n.message};if(!e)return{
kind:"info",head:"Not recorded",text:"This run was written without its zones."};let r=["ok","info"].includes(e.kind)?{...e,
head:"No alerts"}:e;return e.name!=="unknown"||!s?r:Rt(s)?{...r,head:R(s)}:{...r,text:`${e.text} Here: ${s}.`}}var vt=(t,e)=>t.
findLast(s=>s.name==="recovered"&&s.step<=e),Ft=t=>({failed:2,unhealthy:2,interrupted:1,unknown:1})[t]??0;async function Is(t){
let{alerts:e,step:s,state:n}=t,r={at:s},o=t.window(600),[i,l,a,h,d,u,f,w]=await Promise.all([ue(t,n.run),t.data.verdict(
n.run,s),me(t,r),me(t,o),t.seriesOf(["loss","loss_start","loss_recent","overhead","zone"],r),t.series("effective_lr",{max_cols:600,
to:s}),t.seriesOf(["loss","loss_expected","effective_lr"],o),t.series("overhead",{at:tt})]),m=a&&Ls(a,s),g=m==null?null:
await t.metric(i.metric,{from:m,to:m}),p=l.first==null?null:e[l.first],$=xt(p,lt(t.schema,d.zone,s),i.missing,vt(e,s)),M=U(
t.width,[43,57]),[A,N]=M.widths;return c("div",{class:"overview"},Ts(t,$,D(l,t.run)),c("div",{class:"tiles"},zs(t,{...d,
rates:u,first20:w},a,i)),c("div",{class:"columns",style:M.style},F(O("Where the run is","path"),Rs(i.points),fe(i,{width:A-
26,height:b(470),damage:ce(t.schema,i.metric),step:s,onStep:t.setStep})),Es(t,{...f,size:h},i,N)),c("div",{class:"column\
s",style:M.style},F("Alerts",e.length?`${e.length} so far`:null,js(t)),F(`Largest ${i.metric==="output_ratio"?"output ra\
tios":"adapters"}`,g?.columns?`${g.first[0]<g.last[0]?"highest of":"at"} ${g.steps(0)}, log scale`:null,Us(t,g))),ie(t,t.
width))}function Es(t,{loss:e,loss_expected:s,effective_lr:n,size:r},o,i){let l=t.lastStep>0,a=j(t.alerts),h=U(i,[1,1],16,
520),d={step:t.step,onStep:t.setStep,onZoom:t.zoom,range:t.range(),discarded:a},u={...d,empty:l?"not logged in this run":
o.missing,width:h.widths[0]-26,height:b(190)},f=[{name:"loss",matrix:e,colour:"var(--c1)"},{name:"expected",matrix:s,colour:"\
var(--soft)",dash:"3 3",thin:!0}],w=o.metric==="output_ratio"?"Output ratio":"σ₁(ΔW) relative to σ₁(W₀)";return c(
"div",{class:"stack"},G("Loss",null,f,{...d,term:"loss",width:i-26,height:b(212),alerts:t.alerts.filter(m=>m.step>0),onAlert:m=>t.
openAlert(m,"alerts"),empty:l?"the loss is unknown in this run":o.missing}),c("div",{class:"columns",style:h.style},G(w,
"over adapters",r&&l?Ws(r):[],{...u,term:o.metric,log:!0}),G("s · lr","per group",l?Fs(n):[],{...u,term:"effective_lr",
zero:!0,log:a.length>0})))}var Ws=t=>["max","p90","median"].map((e,s)=>({name:e,column:s,matrix:t,colour:`var(--c${[2,1,
3][s]})`,thin:s!==1}));function Rs(t){let e=new Map(t.map(({zone:n})=>[n?.head??"zone not recorded",n?.colour])),s=([n,r])=>c(
"span",null,c("i",{style:`--swatch:var(--${r??"trace"})`}),n.toLowerCase());return c("span",{class:"legend"},[...e].map(
s))}var me=async(t,e)=>await t.spread("output_ratio",e)??await t.spread("relative_spectral_norm",e);function Ls(t,e){return!t.
columns||t.first[0]>e?null:t.last[t.columnOf(e)]}var Fs=t=>Array.from({length:t?.n??0},(e,s)=>s).filter(e=>t.columns&&Number.
isFinite(t.high[(t.columns-1)*t.n+e])).map((e,s)=>({name:`group ${e}`,matrix:t,column:e,colour:`var(--c${1+s%6})`}));function D({
verdict:t,message:e},{wall_time:s},n=Date.now()/1e3){let r=(e??"").split(`
`)[0];if(t==="ok")return{word:"finished",kind:"ok",text:"Training came to its end."};if(t==="unhealthy")return{word:"end\
ed with an ERROR",kind:"error",text:r};if(t==="unknown")return{word:"finished, not judged",kind:"warning",text:r};if(t===
"failed")return{word:"stopped by fail_on",kind:"error",text:r};if(t==="interrupted")return{word:"broke off",kind:"warnin\
g",text:r};if(t!=="running")return null;let o=(n-s)/60;if(o<15)return{word:"running",kind:"info",text:"Training goes on."};
let[i,l]=o<120?[o,"min"]:o<2880?[o/60,"h"]:[o/1440,"days"];return{word:`silent for ${Math.round(i)} ${l}`,kind:"warning",
text:"The run wrote nothing since, not even its end: killed, or very slow."}}var Cs=({step:t,last_step:e,closed_step:s})=>s==
null?`since step ${t}`:e>t?`steps ${t}–${e}`:`at step ${t}`;function Ts(t,{kind:e,head:s,text:n,alert:r},o){let i=t.ending.
next_run?.text,l=z.map(a=>{let h=t.alerts.filter(d=>d.severity===a).length;return c("button",{class:`chip ${W(a)}`,disabled:!h,
title:"show the alerts",onclick:()=>t.set({view:"alerts"})},L(a,11),c("b",null,h),a.toLowerCase()+(a==="INFO"||h===1?"":
"s"))});return c("section",{class:`banner ${e}`,id:"verdict"},c("div",{class:"sign","aria-hidden":"true"},e==="ok"?"✓":
L(e.toUpperCase(),30)),c("div",{class:"words"},c("h1",null,s,o&&it(o.word,o.text,{id:"ended",class:`badge ${o.kind}`}),r&&
c("small",null,Cs(r))),c("p",null,n),i&&c("p",{class:"fix",id:"next-run"},c("b",null,"Next run"),i)),c("div",{class:"chi\
ps"},l))}var $t=t=>t?.replace("alpha","α").replace("sqrt(r)","√r");function Bs(t){let e=new Map;for(let n of t)e.set(
n,(e.get(n)??0)+1);let s=[...e].sort((n,r)=>r[1]-n[1]).map(([n])=>n);return s.length>1?`${x(s[0])}…`:x(s[0])}function pe(t,e,s=[]){
let n=null,r=o=>s.some(([i,l])=>i<=t.last[o]&&t.first[o]<=l);for(let o=0;o<(t?.columns??0)&&t.first[o]<=e;o++)for(let i=0;i<
t.n&&!r(o);i++){let l=t.high[o*t.n+i];Number.isFinite(l)&&(n==null||l>n)&&(n=l)}return n}var Z=(t,e,s,n,r)=>c("div",{class:"\
tile"},c("span",{class:"name"},O(t,e)),c("span",{class:"value"},s),c("span",{class:"note"},n??" "),r);function zs(t,e,s,n){
let{loss:r,rates:o,overhead:i,first20:l}=e,{schema:a,adapters:h,step:d}=t,u=ct(e,d),f=s?.at(d,1),w=i?.at(d),m=a.max_steps,
g=m?Math.min(1,d/m):null,p=h[0]?.scale_formula,$=n.metric==="output_ratio"?["Depth-scaled output ratio","depth-scaled ou\
tput ratio"]:["σ₁ relative to W₀ × depth",n.metric],M=["r","alpha","scale"].map(A=>Bs(h.map(N=>N[A]))).join(" / ");
return[Z("Step","step",[String(d),m&&c("small",null,` / ${m}`)],g==null?null:`${B(g)} of the schedule`,g!=null&&c("i",{class:"\
progress",style:`--share:${g}`})),Z("Loss","loss",x(r?.at(d)),Number.isFinite(u)?`gain ${B(u)}, mean of five`:null),Z(...$,
x(f==null?null:n.depth*f),f==null?"not measured":`${x(f)} × depth ${x(n.depth)}`),Z("s · lr, peak","effective_lr",x(pe(
o,d,j(t.alerts))),ge(a)),Z("r / α / s","scale",h.length?M:"–",p?`s = ${$t(p)}`:"no adapters"),Z("Adapters","adapters",
String(h.length),a.config?.model_type??a.optimizer),Z("Overhead","overhead",w==null||!t.lastStep?"–":B(w,1),t.lastStep?
d>tt&&l?.last?.[l.columnOf(tt)]===tt?`of the time; first ${tt} steps: ${B(l.at(tt),1)}`:"of the wall time so far":n.missing)]}
function ge({config:t,peak_lr:e}){let{rate:s,low:n,high:r}=t?.find_lr??{},o=n!=null&&r!=null?` (${x(n)} to ${x(r)})`:"";
return s!=null&&s===t?.learning_rate?`lr ${x(s)}, found by a sweep${o}`:e?.length?`lr peaks at ${x(Math.max(...e))}`:null}
var wt=({rules:t})=>t?.length?`No alert: ${t.length} rules watch this run.`:"No alert in this run.";function js(t){if(!t.
alerts.length)return c("p",{class:"none"},`✓ ${wt(t.schema)}`);let e=s=>c("button",{class:"row",onclick:()=>t.openAlert(
s,"alerts")},L(s.severity),c("b",null,R(s.name)),c("span",{class:"note"},`step ${s.step}`),c("span",{class:"clip"},s.message));
return c("ol",{class:"alert-list"},gt(t.alerts).slice(0,6).map(s=>c("li",null,e(s))))}function Us(t,e){if(!e?.columns)return c(
"p",{class:"none"},"Not measured up to this step.");let s=t.adapters.map(i=>({adapter:i,value:e.high[i.index]})).filter(
({value:i})=>i>0).sort((i,l)=>l.value-i.value);if(!s.length)return c("p",{class:"none"},"Nothing is above zero at this s\
tep.");let n=Math.log10(s[0].value),r=Math.min(n-1,Math.log10(s[s.length-1].value)),o=({adapter:i,value:l})=>c("button",
{class:"row",title:i.name,onclick:()=>t.set({view:"layer",adapter:i.name})},c("span",{class:"clip"},i.short),c("i",{style:`\
--share:${(Math.log10(l)-r)/(n-r)}`}),c("b",null,x(l)));return c("ol",{class:"bars"},s.slice(0,9).map(i=>c("li",null,o(i))))}var Bt={};nt(Bt,{draw:()=>Hs,title:()=>Ps});var Ps="Compare",Ds=/^(learning_rate|parameters|find_lr\..*|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;
function we(t,e="",s={}){if(t&&typeof t=="object"&&!Array.isArray(t))for(let[n,r]of Object.entries(t))we(r,e?`${e}.${n}`:
n,s);else s[e]=ye(t);return s}function ye(t){return Array.isArray(t)?t.map(String).join(", "):typeof t=="number"&&!Number.
isInteger(t)?x(t):String(t??"–")}async function Hs(t){let e=await Promise.all(t.runNames.map(n=>qs(t,n))),s=[...Ks,...Vs(
e)];return c("div",{class:"compare"},F(`${e.length} run${e.length===1?"":"s"}`,"with every setting that differs",c("div",
{class:"scroll",tabindex:0,role:"region","aria-label":"runs"},c("table",{class:"grid sets",id:"runs"},c("thead",null,c("\
tr",null,c("th",null,"Run"),...s.map(([n])=>c("th",null,O(n))))),c("tbody",null,e.map(n=>Gs(t,n,s)))))))}function Gs(t,e,s){
let n={class:"open",onclick:()=>t.openRun(e.name,"overview")};return c("tr",{class:e.name===t.state.run?"chosen":null},c(
"th",{scope:"row"},c("button",n,e.name)),s.map(([,r])=>c("td",null,[r(e)].flat())))}var Ks=[["verdict",({says:t})=>[t.kind===
"ok"?"✓":L(t.kind.toUpperCase(),11)," ",t.head]],["end",({end:t})=>t?it(t.word,t.text,{class:`badge ${t.kind}`}):"–"],
["steps",({step:t,schema:e})=>`${t}${e.max_steps?` / ${e.max_steps}`:""}`],["r",({schema:t})=>Tt(t,"r")],["alpha",({schema:t})=>Tt(
t,"alpha")],["scale",({schema:t})=>Tt(t,"scale")],["lr",({schema:t})=>[...new Set(t.peak_lr??[])].map(e=>x(e)).join(", ")||
"–"],["loss, mean of five",({last:t})=>{if(!Number.isFinite(t.loss?.at(1/0)??0))return"NaN";let e=ct(t,1/0);return[x(t.
loss_recent?.at(1/0)),Number.isFinite(e)&&c("small",null,` gain ${B(e)}`)]}],["depth-scaled output ratio",({ratio:t})=>x(
t)],["alerts",({alerts:t})=>z.map(e=>[e,t.filter(s=>s.severity===e).length]).filter(([,e])=>e).map(([e,s])=>c("span",{class:"\
tally"},L(e,11),s))]],Tt=({adapters:t},e)=>[...new Set(t.map(s=>ye(s[e])))].join(", ")||"–";function Vs(t){return[...new Set(
t.flatMap(({settings:s})=>Object.keys(s)))].filter(s=>!Ds.test(s)).filter(s=>new Set(t.map(({settings:n})=>n[s])).size>1).
map(s=>[s,({settings:n})=>n[s]??"–"])}async function qs(t,e){let{step:s,metrics:n}=t.runs[e],r=Lt.find(f=>n.includes(f)),
[o,{alerts:i},l,a,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.data.verdict(e),t.seriesOf(["loss","loss_sta\
rt","loss_recent","zone"],{at:s},e),r?t.spread(r,{at:s},e):null]),d=h?.at(1/0,1),u=xt(i[l.first],lt(o,a.zone,1/0),null,vt(
i,1/0));return{name:e,step:s,schema:o,alerts:i,last:a,says:u,end:D(l,t.runs[e]),ratio:d==null?null:Wt(o)*d,settings:we({
...o.config,optimizer:o.optimizer,versions:o.versions??{}})}}var Dt={};nt(Dt,{draw:()=>rn,title:()=>sn});var et=[[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]],
be=Uint32Array.from({length:256},(t,e)=>{let s=e/255*(et.length-1),n=Math.min(et.length-2,Math.floor(s)),r=s-n,[o,i,l]=[
0,1,2].map(a=>Math.round(et[n][a]+(et[n+1][a]-et[n][a])*r));return(255<<24|l<<16|i<<8|o)>>>0}),xe=`linear-gradient(90deg\
,${et.map(t=>`rgb(${t})`).join(",")})`;var ve="#ff00a8";function Me(t,e,s,n,r,o,i){let{columns:l,n:a}=s,h=t.width,d=new ImageData(h,a),u=new Uint32Array(d.data.
buffer),f=Array.from({length:l+1},(N,v)=>Math.round(s.place(v)*h));r.forEach(({adapter:N},v)=>{for(let _=0;_<l;_++){let k=n.
cells[_*a+N.index];Number.isNaN(k)||u.fill(be[Math.max(0,Math.min(255,k*255|0))],v*h+f[_],v*h+f[_+1])}});let w=new OffscreenCanvas(
h,a);zt(w).putImageData(d,0,0);let m=zt(t);m.imageSmoothingEnabled=!1,m.scale(i,i);let g=h/i,p=N=>s.place(N)*g,$=0;for(let N=1;N<=
r.length;N++)N<r.length&&r[N].y===r[N-1].y+o||(m.drawImage(w,0,$,h,N-$,0,r[$].y,g,(N-$)*o),$=N);let M=m.createPattern(Ne(
...e.dark?["#2b2f37","#4b515c"]:["#eceef1","#c3c8d0"],6),"repeat");r.forEach(({adapter:N,y:v})=>{$e(s,N.index,4,(_,k)=>{
m.fillStyle=M,m.fillRect(p(_),v,p(k)-p(_),o)})});let A=m.createPattern(Ne(null,"#fff",8),"repeat");r.forEach(({adapter:N,
y:v})=>{$e(s,N.index,3,(_,k)=>{let S=p(k)-p(_),E=Math.round(Math.max(7,S)),H=Math.max(7,o),K=Math.round(Math.max(0,Math.
min(g-E,(p(_)+p(k))/2-E/2))),V=Math.round(v+o/2-H/2),st=o<7||S<7;m.fillStyle="#fff",st&&m.fillRect(K-1.5,V-1.5,E+3,H+3);
for(m.fillStyle of st?[ve]:[ve,A])m.fillRect(K,V,E,H)})})}var zt=t=>t.getContext("2d");function $e(t,e,s,n){let r=-1;for(let o=0;o<=
t.columns;o++){let i=o<t.columns&&t.flags[o*t.n+e]&s;i&&r<0&&(r=o),!i&&r>=0&&(n(r,o),r=-1)}}function Ne(t,e,s){let n=new OffscreenCanvas(
s,s),r=zt(n);t&&(r.fillStyle=t,r.fillRect(0,0,s,s)),r.strokeStyle=e,r.beginPath();for(let o of[-s,0,s])r.moveTo(o,s),r.lineTo(
o+s,0);return r.stroke(),n}function Ut(t,e){if(t.length<=e)return t;let s=t.slice(t.lastIndexOf(".")+1),n=e-s.length-1;return t.includes(".")&&n>1?
`${t.slice(0,n)}…${s}`:`${t.slice(0,e-1)}…`}function ke(t){let e=t.map(({name:r,layer:o})=>[r.slice(r.lastIndexOf(".")+
1),r.slice(r.indexOf(`.${o}.`)+1).replace(`${o}.`,""),r.replace(`.${o}.`,".")]),s=(r,o,i)=>JSON.stringify([r,o,i]),n=new Map;
for(let[r,{layer:o}]of t.entries())for(let[i,l]of e[r].entries())n.set(s(o,l,i),(n.get(s(o,l,i))??0)+1);return t.map((r,o)=>{
let{name:i,layer:l}=r,a=e[o].find((h,d)=>n.get(s(l,h,d))===1)??i;return{...r,index:o,type:a,short:l==null?i:`${l} · ${Ut(
a,18)}`}})}function _e(t){let e=new Map;for(let s of t)e.has(s.type)||e.set(s.type,[]),e.get(s.type).push(s);return[...e].map(([s,n])=>({
name:s,adapters:n}))}function Ae({high:t}){let e=Float32Array.from(t,Math.log2),s=[],n=-1/0,r=Math.max(1,Math.floor(e.length/
2e4))|1;e.forEach((i,l)=>{Number.isFinite(i)&&(n=Math.max(n,i),l%r===0&&s.push(i))}),s.sort((i,l)=>i-l),n===-1/0&&(n=0);
let o=Math.min(s[Math.floor(.01*s.length)]??0,n-1e-6);return{cells:e.map(i=>(i-o)/(n-o)),ends:[`≤ ${x(2**o)}`,"log",x(
2**n)]}}var Oe=t=>Math.max(11,Math.min(22,Math.max(...t.adapters.map(({type:e})=>e.length)))),Nt=t=>b(108+6*(Oe(t)-11));function Se(t,e,s,n){
let r=Zs(t,e),{rows:o,size:i,height:l}=r,a=Math.max(1,Math.min(3,devicePixelRatio||1)),h=c("canvas",{id:"heat",width:Math.
round(n*a),height:Math.round(l*a),role:"img",style:`width:${n}px;height:${l}px`,"aria-label":`${t.state.metric} of ${e.n}\
 adapters at ${e.columns} columns of steps`});Me(h,t,e,s,o,i,a);let d=Js(t,e,r,n);return Xs(h,t,e,o,d,n),c("div",{class:"\
plot",style:`grid-template-columns:${Nt(t)-4}px ${n}px`},c("span",{class:"strip-name"},"alerts"),tn(t,e,n),Qs(t,e,r),c("\
div",{class:"stage",style:`width:${n}px;height:${l}px`},h,d.overlay),c("span",{class:"strip-name"},"step"),en(e,n))}function Zs(t,{
n:e}){let s=_e(t.adapters),n=Math.max(300,innerHeight-b(232)),r=s.length<=40?3:e+s.length<=n?1:0,o=Math.max(1,Math.min(b(
30),Math.floor((n-r*s.length)/e))),i=[],l=[],a=0;for(let h of s){let d=a;for(let u of h.adapters)i.push({adapter:u,y:a}),
a+=o;l.push({name:h.name,y:(d+a)/2}),a+=r}return{rows:i,labels:l,size:o,height:a-r}}function Js(t,e,{rows:s,size:n,height:r},o){
let i=p=>e.place(p)*o,l=p=>Math.max(1.5,i(p+1)-i(p)),a=y("svg",{class:"overlay",width:o,height:r}),h=e.columnOf(t.step);
t.step>=e.first[0]&&a.append(y("rect",{class:"at",x:i(h)-.5,y:0,width:l(h)+1,height:r}));let d=t.state.adapter&&s.find(p=>p.
adapter.name===t.state.adapter);d&&a.append(y("rect",{class:"at",x:.5,y:d.y-.5,width:o-1,height:n+1}));let u=y("rect",{class:"\
cross",height:n+2,width:o}),f=y("rect",{class:"cross",height:r}),w=y("rect",{class:"select",y:0,height:r});return a.append(
u,f,w),{overlay:a,band:w,point:(p,$)=>{u.setAttribute("y",p.y-1),f.setAttribute("x",i($)),f.setAttribute("width",l($)),u.
style.display=f.style.display="block"},leave:()=>{u.style.display=f.style.display="none"}}}function Xs(t,e,s,n,{band:r,point:o,
leave:i},l){let a=d=>s.columnOf(s.stepAt(d/l)),h=d=>n.findLast(({y:u})=>u<=d.clientY-t.getBoundingClientRect().top);ft(t,
r,{hover:(d,u)=>{let f=h(d);f&&(o(f,a(u)),I.show(d,...Ys(s,a(u),f.adapter)))},leave:i,zoom:(d,u)=>e.set({from:s.first[a(
d)],to:s.last[a(u)]}),choose:(d,u)=>{let f=h(d)?.adapter.name,w=s.last[a(u)];f&&e.set({view:"layer",adapter:f,step:w>=e.
lastStep?"":w})}})}function Ys(t,e,{name:s,index:n}){let r=t.flags[e*t.n+n];return[c("b",null,s),`${t.steps(e)}: ${t.say(
e,n,x)||"–"}`,r&3?c("strong",null,at(r)):null]}function Qs(t,{n:e},{rows:s,labels:n,size:r,height:o}){let i=Nt(t),l=y(
"svg",{class:"gutter",width:i-6,height:o}),a=r>=b(11)&&n.length<e,h=-99;for(let d of n)d.y-h<b(12)||(h=d.y,l.append(y("t\
ext",{x:a?i-b(36):i-12,y:d.y+b(4),"text-anchor":"end",class:"group"},Ut(d.name,Oe(t)+(a?0:4)),y("title",null,d.name))));
for(let{adapter:d,y:u}of a?s:[])l.append(y("text",{x:i-12,y:u+r/2+b(4),"text-anchor":"end",class:"item"},d.layer??""));return l}
function tn(t,e,s){let r=y("svg",{class:"strip",width:s,height:20});for(let o of t.alerts){if(o.step<e.first[0]||o.step>
e.end)continue;let i=e.columnOf(o.step),l=(e.place(i)+e.place(i+1))/2*s;r.append(y("g",{class:`mark severity ${W(o.severity)}`,
transform:`translate(${Math.max(7,l)},8)`,"aria-label":`${o.name} at step ${o.step}`,...ut(()=>t.openAlert(o)),onpointermove:a=>I.
show(a,c("b",null,R(o.name)),`step ${o.step}`,o.message),onpointerleave:()=>I.hide()},y("path",{d:"M0 6V20",class:"stem"}),
y("path",{d:ot(o.severity)})))}return r}function en(t,e){let s=y("svg",{class:"axis",width:e,height:b(18)}),n=r=>(r-t.first[0]+
.5)/(t.stepAt(1)-t.first[0]+1)*e;for(let r of P(t.first[0],t.end,e/b(70)).filter(Number.isInteger)){let o=n(r);s.append(
y("text",{x:o,y:b(14),"text-anchor":o<12?"start":o>e-14?"end":"middle"},r))}return s}var sn="Heatmap",nn=12,Pt=()=>b(268);async function rn(t){let{state:e,adapters:s}=t;if(!s.length||!e.metric)return c("p",
{class:"empty-page"},"This run has no adapters.");let n=on(t),r=t.width>3*Pt(),o=t.width-(r?Pt()+16:0)-28,i=o-Nt(t)-4,l=await t.
metric(e.metric,t.window(Math.max(50,Math.floor(i/50)*50)));if(t.notes=[...new Set([...t.notes,...l.notes])],!l.columns)
return c("div",null,n,c("p",{class:"empty-page"},"No step of this metric lies in the chosen range."));l.until=Math.min(t.
lastStep,e.to===""?1/0:Number(e.to));let a=Ae(l);return c("div",{class:"heat"},n,c("div",{class:"columns",style:`grid-te\
mplate-columns:minmax(0,1fr)${r?` ${Pt()}px`:""}`},c("section",{class:"card"},an(l,a),Se(t,l,a,i)),c("section",{class:"c\
ard side"},c("header",null,c("h2",null,O(`Stand out at ${l.steps(l.columnOf(t.step))}`,"Stand out"))),ln(t,l))))}var on=t=>c(
"div",{class:"toolbar"},c("span",{class:"pick"},O("Metric",t.state.metric),c("select",{id:"metric","aria-label":"metric",
onchange:e=>t.set({metric:e.target.value})},t.run.metrics.map(e=>c("option",{value:e,selected:e===t.state.metric},e)))),
c("span",{class:"note"},"drag to zoom, click for the adapter, arrow keys for the steps and adapters"));function an(t,{ends:e}){
return c("div",{class:"scale"},c("span",{class:"bar"},c("i",{style:`background:${xe}`}),c("span",null,e.map(s=>c("span",
null,s)))),c("span",{class:"key"},c("i",{class:"nan"}),"NaN or Inf"),c("span",{class:"key"},c("i",{class:"hatched"}),"no\
t measured"),c("span",{class:"grow"}),c("span",{class:"note"},t.pooled?`${t.rows} steps in ${t.columns} columns; extreme\
s and NaN kept`:`${t.rows} ${t.rows===1?"step was":"steps were"} read`))}function ln(t,e){if(t.step<e.first[0])return c(
"p",{class:"none"},"Nothing was measured up to this step.");let s=e.columnOf(t.step)*e.n,n=t.adapters.map(a=>({adapter:a,
value:e.high[s+a.index],flags:e.flags[s+a.index]})).filter(({flags:a})=>!(a&4)).map(a=>({...a,broken:a.flags&3}));if(!n.
some(({broken:a,value:h})=>a||h!==0))return c("p",{class:"none"},n.length?"Nothing is above zero at this step.":"Not mea\
sured at this step.");let r=n.filter(({broken:a})=>!a).sort((a,h)=>a.value-h.value),o=r[r.length>>1]?.value,i=({broken:a,
value:h})=>a?1/0:Math.abs(Math.log2(h/o)),l=({adapter:a,value:h,broken:d})=>c("button",{class:"row",title:a.name,onclick:()=>t.
set({view:"layer",adapter:a.name})},c("span",{class:"clip"},a.short),c("b",null,d?at(d):x(h)),c("small",null,d?"":cn(h/o)));
return n.sort((a,h)=>i(h)-i(a)||h.value-a.value),c("ol",{class:"standout"},n.slice(0,nn).map(a=>c("li",null,l(a))))}var cn=t=>t<
1?`÷ ${x(1/t)}`:`× ${x(t)}`;var Ht={};nt(Ht,{draw:()=>dn,title:()=>hn});var hn="Layer",Ie=[["‖ΔW‖ and what Adam can reach","Frobenius norm",[["delta_norm","delta_norm"],["predicted_norm",
"predicted_norm","5 4"],["drift_norm","drift_norm","2 3"]],!0],["Output ratio","‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens",
[["output_ratio","output_ratio"]],!0],["Relative to the base weight","ΔW against W₀",[["relative_norm","Frobenius"],[
"relative_spectral_norm","spectral"]],!0],["Largest singular value","σ₁(ΔW)",[["spectral_norm","spectral_norm"]],!0],
["Ranks in use","of r",[["effective_rank","effective_rank"],["stable_rank","stable_rank"]],!1],["Factors","Frobenius nor\
ms",[["a_norm","A"],["b_norm","B"]],!0],["Gradients","as they reach the optimizer",[["a_grad_norm","A"],["b_grad_norm","\
B"]],!0],["Product","‖B·A‖, without the scale",[["product_norm","product_norm"]],!0],["Update in one step","‖ΔW now\
 − ΔW before‖",[["step_norm","step_norm"]],!0],["Updates that arrived","share of 64 numbers that changed",[["a_chan\
ged","A"],["b_changed","B"]],!1],["Base weight","‖W − W₀‖ / ‖W₀‖, 0 where it rests",[["base_drift","base_d\
rift"]],!0],["s · lr","scale × learning rate",[["effective_lr","effective_lr"]],!1],["Scale s","the live factor",[["sc\
ale","scale"]],!1]];async function dn(t){let{adapter:e,run:s,state:n}=t;if(!e)return c("p",{class:"empty-page"},"This ru\
n has no adapters.");let r=t.width>b(1260)?4:3,o=U(t.width,Array(r).fill(1)),i=o.widths[0],l=new Set(Ie.flatMap(([,,m])=>m.
map(([g])=>g))),a=[...Ie,...s.metrics.filter(m=>!l.has(m)).map(m=>[R(m),null,[[m,m]],!0])].map(([m,g,p,$])=>({name:m,note:g,
log:$,several:p.length>1,metrics:p.filter(([M])=>s.metrics.includes(M))})).filter(({metrics:m})=>m.length),h=a.flatMap(({
metrics:m})=>m.map(([g])=>g)),d={max_cols:400,adapter:e.index,from:n.from,to:n.to},u={...d,from:n.from||1},f=Object.fromEntries(
await Promise.all(h.map(async m=>[m,await t.metric(m,m==="effective_lr"?u:d)]))),w=t.alerts.filter(m=>m.adapters?.some(({
name:g})=>g===e.name));return c("div",{class:"layer"},un(t,w),c("div",{class:"columns",style:o.style},a.map(({name:m,note:g,
metrics:p,log:$,several:M})=>{let A=p.map(([v,_,k],S)=>({name:_,matrix:f[v],colour:k?"var(--soft)":`var(--c${S+1})`,dash:k})),
N=A.length>1||M;return G(m,g,A,{legend:N,term:p[0][0],width:i-26,height:b(150)+(N?0:b(21)),log:$||p[0][0]==="effective_l\
r"&&j(t.alerts).length>0,range:t.range(),step:t.step,onStep:t.setStep,onZoom:t.zoom,discarded:j(t.alerts),alerts:w.filter(
v=>p.some(([_])=>_===v.metric)),onAlert:v=>t.openAlert(v,"alerts")})})))}function un(t,e){let{adapter:s,adapters:n,schema:r,
moveAdapter:o}=t,i=r.peak_lr?.[s.group??-1],l=(a,h,d)=>h!=null&&c("div",null,c("dt",null,a),c("dd",null,h,d&&c("small",null,
` ${d}`)));return c("section",{class:"card layer-head"},c("div",{class:"title"},c("button",{id:"before",class:"quiet",title:"\
adapter before (↑)",onclick:()=>o(-1)},"‹"),c("select",{id:"adapter","aria-label":"adapter",title:s.name,onchange:a=>t.
set({adapter:a.target.value})},n.map(a=>c("option",{value:a.name,selected:a===s},a.name))),c("button",{id:"after",class:"\
quiet",title:"adapter after (↓)",onclick:()=>o(1)},"›"),c("span",{class:"note"},`${s.index+1} of ${n.length}`),c("sp\
an",{class:"grow"}),e.length?e.map(a=>c("button",{class:"chip",onclick:()=>t.openAlert(a,"alerts"),title:a.message},L(a.
severity,11),`${R(a.name)}, step ${a.step}`)):c("span",{class:"note"},"✓ no alert names this adapter")),c("dl",{class:"\
facts"},l(O("Kind"),s.kind),s.d_out!=null&&l(O("W₀"),`${s.d_out} × ${s.d_in}`),(s.r??0)>0&&l(O("B · A"),`${s.d_out} \
× ${s.r} · ${s.r} × ${s.d_in}`),l(O("r","r"),s.r||null),l(O("α","alpha"),s.alpha==null?null:x(s.alpha)),l(O("s","sca\
le"),s.scale==null?null:x(s.scale),$t(s.scale_formula)),l(O("Group","group"),s.group==null?"in no optimizer group":String(
s.group),i!=null?`lr ≤ ${x(i)}`:null),l(O("Trainable"),s.trainable?.toLocaleString("en")),l(O("‖W₀‖","base_norm"),
s.base_norm==null?"unknown":x(Number(s.base_norm))),l(O("σ₁(W₀)","base_spectral_norm"),s.base_spectral_norm==null?"\
unknown":x(Number(s.base_spectral_norm)))))}var J={overview:Ct,heatmap:Dt,layer:Ht,alerts:St,compare:Bt};function Gt(t){let e=document.activeElement?.id,{from:s,to:n}=t.state;t.bar.replaceChildren(t.heading,c("nav",{"aria-lab\
el":"views"},fn(t)),gn(t),mn(t),c("button",{id:"latest",class:"quiet",title:"follow the latest step (End)",disabled:t.state.
step==="",onclick:()=>t.set({step:""})},"latest"),s===""&&n===""?"":c("button",{id:"unzoom",class:"quiet",title:"all ste\
ps (Esc)",onclick:()=>t.set({from:"",to:""})},`steps ${s}–${n}  ✕`),c("span",{class:"grow"}),t.live?pn(t):""),e&&document.
getElementById(e)?.focus({preventScroll:!0})}function fn(t){let e=z.find(s=>t.alerts.some(n=>n.severity===s));return Object.
entries(J).map(([s,n])=>c("button",{id:`tab-${s}`,"aria-current":s===t.state.view&&"page",onclick:()=>t.set({view:s})},n.
title,s==="alerts"&&t.alerts.length?c("span",{class:`count ${W(e)}`},t.alerts.length):null))}var mn=t=>c("label",{class:"\
pick scrub"},"Step",c("input",{id:"scrub",type:"range",min:0,max:t.lastStep,value:t.step,"aria-label":"step",onchange:e=>t.
setStep(Number(e.target.value)),oninput:e=>{e.target.nextElementSibling.textContent=e.target.value}}),c("output",{id:"st\
ep"},t.step)),pn=t=>c("button",{id:"refresh",class:t.newer?"quiet newer":"quiet",title:"ask TensorBoard again","aria-lab\
el":t.newer?null:"refresh",onclick:()=>t.refresh()},t.newer?`↻ ${t.newer}`:"↻");function gn(t){let e=s=>{let n=D(t.runs[s],
t.runs[s]);return c("option",{value:s,selected:s===t.state.run},n?`${s} (${n.word})`:s)};return c("label",{class:"pick"},
"Run",c("select",{id:"run",onchange:({target:s})=>t.openRun(s.value)},t.runNames.map(e)))}var Mt=class{#n;#t=new Map;#s=new WeakMap;#r=0;constructor(e){this.#n=e}forget(){this.#t.clear(),this.#r++}runs(){return this.#e(
"runs",{})}runsNow(){return this.#n("runs",[])}schema(e){return this.#e("schema",{run:e})}alerts(e){return this.#e("aler\
ts",{run:e})}verdict(e,s){return this.#e("verdict",{run:e,step:s})}metric(e,s,n){return this.#e("metric",{run:e,metric:s,
...n})}spread(e,s,n){return this.#e("spread",{run:e,metric:s,...n})}scalars(e,s,n){return this.#e("scalars",{run:e,name:s,
...n})}async#e(e,s){let n=Object.entries(s).filter(([,l])=>l!=null&&l!=="").map(([l,a])=>[l,String(a)]),r=`${e}?${new URLSearchParams(
n)}`;if(this.#t.has(r)){let l=this.#t.get(r);return this.#t.delete(r),this.#t.set(r,l),l}let o=this.#r,i=this.#n(e,n);this.#t.
set(r,i);try{let l=await i;return this.#s.set(i,l.bytes??0),o===this.#r&&this.#o(),l}catch(l){throw this.#t.get(r)===i&&
this.#t.delete(r),l}}#o(){let e=n=>this.#s.get(n)??0,s=0;for(let n of this.#t.values())s+=e(n);for(let[n,r]of this.#t){if(s<=
104857600)break;s-=e(r),this.#t.delete(n)}}};var Kt="lora_watch",ht=`p.${Kt}.`,Vt=!1;function Ee(){Vt=!0}function qt(){if(Vt)return window;try{return window.parent.location.
hash,window.parent}catch{return window}}function We(t){let{port1:e,port2:s}=new MessageChannel;e.onmessage=({data:n})=>{
let r=JSON.parse(n);r.isReply||(r.type==="experimental.DataReloaded"&&t(),e.postMessage(JSON.stringify({type:r.type,id:r.
id,payload:null,error:null,isReply:!0})))},window.parent.postMessage("experimental.bootstrap","*",[s])}function Re(t){let e=()=>{
let s=matchMedia("(prefers-color-scheme: dark)");s.addEventListener("change",()=>t(s.matches)),t(s.matches)};if(Vt)return e();
try{let s=window.parent.document.body,n=()=>t(s.classList.contains("dark-mode"));new MutationObserver(n).observe(s,{attributes:!0,
attributeFilter:["class"]}),n()}catch{e()}}var kt=()=>qt().location.hash.replace(/^#/,"").split("&"),Le=()=>["",Kt].includes(
kt()[0]);function Zt(){let t={};for(let e of kt()){if(!e.startsWith(ht))continue;let[s,n=""]=e.slice(ht.length).split("=");
try{t[s]=decodeURIComponent(n.replaceAll("+"," "))}catch{}}return t}function Fe(t,e){if(!Le())return;let s=kt().filter((o,i)=>i>
0&&o&&!o.startsWith(ht)),n=Object.entries(t).filter(([,o])=>o!==""&&o!=null).map(([o,i])=>`${ht}${o}=${encodeURIComponent(
i)}`),{history:r}=qt();try{r[e?"pushState":"replaceState"](r.state,"",`#${[Kt,...n,...s].join("&")}`)}catch{}}function Ce(t){
let e=qt(),s=()=>{Le()&&kt().some(n=>n.startsWith(ht))&&t(Zt())};e.addEventListener("hashchange",s),window.addEventListener(
"pagehide",()=>e.removeEventListener("hashchange",s))}function Be(t,e){if(e.ctrlKey||e.metaKey||e.altKey||!t.shown||e.target.matches?.("select")||e.target.id==="scrub"&&e.key.
startsWith("Arrow"))return;let s=e.shiftKey?Math.max(1,Math.round(t.lastStep/20)):1,n=["layer","heatmap"].includes(t.state.
view),r={ArrowLeft:()=>t.setStep(t.step-s),ArrowRight:()=>t.setStep(t.step+s),ArrowUp:n&&(()=>t.moveAdapter(-1)),ArrowDown:n&&
(()=>t.moveAdapter(1)),End:()=>t.set({step:""}),Escape:()=>t.set({from:"",to:""})}[e.key];r&&(e.preventDefault(),r())}var Jt={view:"overview",run:"",metric:"",adapter:"",step:"",from:"",to:"",alert:""},wn=["output_ratio","relative_spectra\
l_norm","relative_norm","delta_norm"],yn=5e3;function bn(t,e,s){let n=Object.keys(e).filter(l=>!(l in t)),r=n.length?`${n.
length} new run${n.length>1?"s":""}`:null;if(n.includes(s)||r&&!Object.keys(t).length)return{words:r,isHere:!0};let[o,i]=[
t[s],e[s]];return o&&i&&i.step!==o.step?{words:`now at step ${i.step}`,isHere:!0}:o&&i&&i.wall_time!==o.wall_time?{words:"\
more was written",isHere:!0}:r?{words:r,isHere:!1}:null}var _t=class{constructor(e,s,n=!0){this.data=new Mt(s),this.live=
n,this.state={...Jt},this.bar=c("header",{id:"bar"}),this.main=c("main",{id:"view",tabindex:-1}),this.heading=c("h1",{class:"\
unseen"}),this.bar.tabIndex=-1,e.append(this.bar,this.main),this.bar.focus({preventScroll:!0}),document.documentElement.
lang="en",this.drawing=0,this.runs={},this.run={metrics:[],series:[],step:0,wall_time:0},this.schema={adapters:[],notes:[]},
this.ending={verdict:null,message:null,first:null},this.alerts=[],this.adapters=[],this.notes=[]}async start(){Re(n=>{this.
dark=n,document.documentElement.classList.toggle("dark",n),this.shown&&this.draw()}),this.#s(Zt()),Ce(n=>{this.wanted=null,
this.#s(n),this.draw()}),this.live&&We(()=>this.refresh()),addEventListener("keydown",n=>Be(this,n));let e=innerWidth,s;
addEventListener("resize",()=>{clearTimeout(s),s=setTimeout(()=>{!innerWidth||innerWidth===e||(e=innerWidth,this.draw())},
80)}),addEventListener("pointerdown",()=>{this.pressed=!0}),addEventListener("pointerup",()=>{this.pressed=!1}),this.live&&
setInterval(()=>this.#n(),yn),await this.refresh()}async refresh(){this.data.forget(),await this.draw()}async#n(){if(document.
hidden||!innerWidth||!this.shown||this.loading)return;let{run:e}=this.state,s=await this.data.runsNow().catch(()=>this.runs);
if(e!==this.state.run)return;let n=bn(this.runs,s,this.wanted?.run??e);if(n?.isHere&&this.#t&&!this.pressed)return this.
refresh();!this.pressed&&D(this.ending,this.run)?.word!==this.endWord&&await this.draw(),n?.words!==this.newer&&(this.newer=
n?.words,Gt(this))}get#t(){let{step:e,to:s}=this.state;return s===""&&(e===""||Number(e)>this.lastStep)}set(e){let{view:s,
run:n}=this.state;return this.wanted=null,this.#s({...this.state,...e}),this.navigated||=this.state.view!==s||this.state.
run!==n,this.draw()}#s(e){this.state=Object.fromEntries(Object.entries(Jt).map(([s,n])=>[s,String(e[s]??n)])),this.state.
view in J||(this.state.view="overview")}async draw(){let e=++this.drawing,{view:s,run:n}=this.state;this.loading=!0,document.
body.setAttribute("aria-busy","true");let r=setTimeout(()=>{e===this.drawing&&this.shown&&(this.shown!==s||this.shownRun!==
n)&&this.#c(s)},150);try{if(this.runs=await this.data.runs(),!Object.keys(this.runs).length)return this.#i(e,c("p",{class:"\
empty-page"},"No run here holds LoRA data yet. Add LoraWatchCallback() to the Trainer."));this.#r();let o=await this.#e();
if(e!==this.drawing)return;await this.#o(o),Gt(this),this.#l();let i=await J[this.state.view].draw(this);this.#i(e,i)}catch(o){
this.#i(e,c("div",{class:"empty-page",role:"alert"},c("p",null,`This view could not be drawn: ${o.message}`),c("button",
{id:"again",class:"quiet",onclick:()=>this.refresh()},"Try again")))}finally{clearTimeout(r)}}#r(){if(this.wanted&&this.
wanted.run in this.runs&&([this.state,this.wanted]=[this.wanted,null]),this.state.run in this.runs)return;this.state.run&&
(this.wanted??=this.state);let e=({verdict:n,wall_time:r})=>[this.live?0:Ft(n),r],s=(n,r)=>e(n)[0]-e(r)[0]||e(n)[1]-e(r)[1];
this.#s({...this.wanted?{view:this.state.view}:this.state,run:Object.keys(this.runs).reduce((n,r)=>s(this.runs[r],this.runs[n])>
0?r:n)})}async#e(){let e=this.state.run,[s,n,r]=await Promise.all([this.data.schema(e),this.data.alerts(e),this.data.verdict(
e)]);return{schema:s,found:n,ending:r}}async#o({schema:e,found:s,ending:n}){this.schema=e,this.ending=n,this.alerts=s.alerts,
this.notes=[...e.notes,...s.notes],this.run=this.runs[this.state.run],this.adapters=await this.#h(e),this.missing=this.#a();
let r=this.run.metrics;r.includes(this.state.metric)||(this.state.metric=wn.find(o=>r.includes(o))??r[0]??""),this.endWord=
D(n,this.run)?.word,this.newer=void 0}#a(){let{adapter:e}=this.state;return this.wanted?`There is no run “${this.wanted.
run}” here, or TensorBoard has not read it yet. This is the latest one.`:e&&!this.adapters.some(({name:s})=>s===e)?`Th\
is run has no adapter “${e}”.`:this.adapters.length?null:"This run has no adapters: nothing but its loss and rates i\
s known."}#l(){this.wanted||Fe(Object.fromEntries(Object.entries(this.state).filter(([e,s])=>s!==Jt[e])),this.navigated),
this.navigated=!1}#c(e){let s=e==="compare"?` and ${Object.keys(this.runs??{}).length} runs`:"";this.main.replaceChildren(
c("div",{class:"empty-page",role:"status",id:"loading"},`Reading ${J[e].title.toLowerCase()}${s} …`,c("progress")))}#i(e,s){
if(e!==this.drawing)return;let n=document.activeElement?.id,r=this.main.scrollTop;I.hide();let o=At("notes",[this.missing??
[]].flat());this.main.replaceChildren(...c("div",null,o,s,At("notes",this.notes??[])).childNodes),n&&document.activeElement?.
id!==n&&document.getElementById(n)?.focus({preventScroll:!0}),document.activeElement===document.body&&this.main.focus({preventScroll:!0}),
this.main.scrollTop=this.shown===this.state.view?r:0,this.heading.textContent=document.title=`LoRA: ${J[this.state.view].
title}, ${this.state.run}`,this.shown=this.state.view,this.shownRun=this.state.run,this.loading=!1,document.body.removeAttribute(
"aria-busy"),document.body.dataset.ready=this.state.view,document.dispatchEvent(new CustomEvent("lora-watch-drawn"))}async#h(e){
let s=e.adapters;if(!s.length&&this.run.metrics.length){let{n}=await this.data.metric(this.state.run,this.run.metrics[0],
{max_cols:1});s=Array.from({length:n},(r,o)=>({name:`adapter ${o}`}))}return ke(s)}get lastStep(){return this.run.step}get runNames(){
return Object.keys(this.runs).sort((e,s)=>e.localeCompare(s,void 0,{numeric:!0}))}get step(){let e=Number(this.state.step);
return this.state.step===""||!(e>=0&&e<this.lastStep)?this.lastStep:this.run.held?.findLast(s=>s<=e)??Math.floor(e)}get adapter(){
return this.adapters.find(e=>e.name===this.state.adapter)??this.#d??this.adapters[0]}get#d(){let e=this.alerts[this.ending.
first??-1]?.adapters?.[0]?.name;return this.adapters.find(s=>s.name===e)}get width(){let{paddingLeft:e,paddingRight:s}=getComputedStyle(
this.main);return Math.max(280,this.main.clientWidth-parseFloat(e)-parseFloat(s))}metric(e,s){return this.data.metric(this.
state.run,e,s)}async spread(e,s,n=this.state.run){return this.runs[n].metrics.includes(e)?this.data.spread(n,e,s):null}async series(e,s,n=this.
state.run){return this.runs[n].series.includes(e)?this.data.scalars(n,e,s):null}async seriesOf(e,s,n=this.state.run){let r=await Promise.
all(e.map(o=>this.series(o,s,n)));return Object.fromEntries(e.map((o,i)=>[o,r[i]]))}window(e){return{max_cols:e,from:this.
state.from,to:this.state.to}}range(e=this.lastStep){let{from:s,to:n}=this.state;return[s===""?0:Number(s),n===""?Math.max(
1,e):Number(n)]}zoom=(e,s)=>this.set({from:e,to:s});setStep=e=>{let s=e>this.step&&this.run.held?.find(n=>n>=e)||e;return this.
set({step:s>=this.lastStep?"":Math.max(0,s)})};moveAdapter=e=>{let s=this.adapters.length;return s&&this.set({adapter:this.
adapters[(this.adapter.index+e+s)%s].name})};openRun=(e,s=this.state.view)=>this.set({view:s,run:e,adapter:"",step:"",from:"",
to:"",alert:""});openAlert=(e,s=this.state.view)=>this.set({view:s,step:e.step,alert:`${e.rule}@${e.step}`,adapter:e.adapters?.[0]?.
name??this.state.adapter,metric:this.run.metrics.includes(e.metric)?e.metric:this.state.metric,from:"",to:""})};var ze=128;async function je(t){let e=Uint8Array.from(atob(t.trim()),h=>h.charCodeAt(0)),s=new Blob([e]).stream().pipeThrough(
new DecompressionStream("deflate")),n=await new Response(s).arrayBuffer(),r=new DataView(n).getUint32(0,!0),{answers:o,matrices:i}=JSON.
parse(new TextDecoder().decode(new Uint8Array(n,4,r))),l=new Map,a=h=>(l.has(h)||l.set(h,vn(new Uint8Array(n,4+r+i[h].at),
i[h])),l.get(h));return async(h,d)=>{let{run:u="",metric:f,name:w,at:m,...g}=Object.fromEntries(d),p=Object.fromEntries(
Object.entries(g).map(([A,N])=>[A,Number(N)])),$=JSON.stringify([h,u,f??w??""]),M=JSON.stringify([`${h} at`,u,f??w??""]);
if(m&&M in i)return a(M);if($ in i)return a($).window(p);if(!($ in o))throw new Error(`The report does not hold ${f??w??
h}.`);return h==="verdict"?xn(o[$],p.step??1/0):o[$]}}var xn=({first:t,...e},s)=>({...e,first:t.findLast(([n])=>n<=s)?.[1]??
null});function vn(t,e){let[s,n]=e.shape,r=s*n,o=e.pooled?2:1,i=Array.from({length:o},()=>new Float32Array(r)),l=new Uint8Array(
r),a=new Int32Array(1),h=new Float32Array(a.buffer),d=(u,f)=>t[(4*u+3)*r+f]<<24|t[(4*u+2)*r+f]<<16|t[(4*u+1)*r+f]<<8|t[4*
u*r+f];for(let u=0;u<n;u++){let f=0;for(let w=0;w<s;w++){let m=u*s+w,g=w*n+u,p=t[4*o*r+m];f=f+d(0,m)|0,l[g]=p&~ze;for(let $=0;$<
o;$++)a[0]=($?f+d(1,m):f)<<e.shift,i[$][g]=p&ze?p&2&&!(p&1)?1/0:Number.NaN:h[0]}}return new mt(e,i[0],i[o-1],l)}Ee();var $n=document.getElementById("answers");je($n?.textContent??"").then(t=>new _t(document.body,t,!1).start());
